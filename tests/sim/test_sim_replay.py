from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import ROUND, call
from test_sim_core_properties import LOADS, OPTIONS

from concur_batch.sim.options import ServerOptions
from concur_batch.sim.replay import RecordingCore, replay

DEEDS = st.lists(
    st.tuples(st.floats(0, 60), st.integers(0, 11), st.sampled_from(["abort", "in_place", "retract", "flush"])), max_size=4
)


def do(engine, what, i, time):
    match what:
        case "abort":
            engine.abort(f"r{i}", time)
        case "flush":
            engine.flush(time)
        case "resume":
            engine.resume(time)
        case _:
            engine.pause(what, time)


@settings(max_examples=150)
@given(LOADS, OPTIONS, st.sampled_from([320, 4000]), DEEDS)
def test_the_same_arrivals_by_iteration_lead_to_the_same_decisions(load, options, capacity, deeds):
    engine = RecordingCore(ServerOptions(capacity_tokens=capacity, **options), ROUND)
    events = [(time, i, None, one) for i, (time, *one) in enumerate(load)]
    events += [(time, i, what, None) for time, i, what in deeds]
    events += [(time + 7, 99, "resume", None) for time, _, what in deeds if what in ("in_place", "retract")]
    for time, i, what, one in sorted(events, key=lambda event: event[:2]):
        if one is None:
            do(engine, what, i, time)
        else:
            shared, private, out, most = one
            new = call(f"r{i}", (shared, 30), (f"p{i % 4}", private), out=out, max_new_tokens=most, priority=(i % 3) * 20)
            engine.add(new, time)
    while (end := engine.next_time()) is not None:
        engine.run_to(end)
    again = replay(engine.arrivals, engine.options, ROUND)
    assert again.log == engine.log
    assert again.iterations == engine.iterations
