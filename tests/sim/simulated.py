"""A small simulated server for tests: round numbers, and requests by name and length."""

from concur_batch.sim.call import Call
from concur_batch.sim.core import EngineCore
from concur_batch.sim.cost import FittedCost
from concur_batch.sim.options import ServerOptions
from concur_batch.sim.runs import Run

ROUND = FittedCost(prefill_per_token_s=0.01, decode_fixed_s=0.9, decode_per_request_s=0.1)


def core(capacity=1000, cost=ROUND, log=True, **options):
    engine = EngineCore(ServerOptions(capacity_tokens=capacity, **options), cost)
    engine.log = [] if log else None
    return engine


def call(rid, *parts, out=10, **fields):
    """`parts`: (name, tokens) of the prompt; equal names are equal tokens. Asks for no more than it gets, unless told otherwise."""
    fields = {"max_new_tokens": out} | fields
    runs = [Run(name, 0, tokens) for name, tokens in parts] or [Run(f"prompt of {rid}", 0, 100)]
    return Call(rid=rid, prompt=runs, output=[Run(f"reply to {rid}", 0, out)], **fields)


def run_out(engine):
    """Until nothing more happens. Returns who ended, in order."""
    ended = []
    while (time := engine.next_time()) is not None:
        engine.run_to(time)
        ended += [event.call for event in engine.take_events() if event.call.finish_reason]
    return ended
