"""SGLang's scheduler over its radix cache, without a clock: it is told the time, advances by iterations, and says what came of it.

After `managers/scheduler.py` of SGLang 0.5.23. A prefill batch runs alone and comes first; else one decode step. Decode steps
between two events are computed at once, with the same outcome as one by one. Not modelled: overlap scheduling (results one
step late), mixed chunks, speculative decoding, sliding windows, data parallelism, in-batch prefix caching under `lpm`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from concur_batch.sim.burst import Burst
from concur_batch.sim.call import Call, FinishReason
from concur_batch.sim.cost import Cost
from concur_batch.sim.options import ServerOptions
from concur_batch.sim.prefill import PrefillPass
from concur_batch.sim.queues import Queues
from concur_batch.sim.reporter import Reporter
from concur_batch.sim.runs import Run, length

INPUT_MARGIN = 5  # tokens that a prompt must leave of the longest request (tp_worker.py: max_req_input_len)

PauseMode = Literal["in_place", "retract", "abort"]


class Event(NamedTuple):
    """A call has got tokens (told of streamed ones only), or has ended: `call.finish_reason` is then set."""

    call: Call
    time: float


class Refused(ValueError):
    """The request can never be served; worded as SGLang words it."""


@dataclass(slots=True)
class _Sums:
    """Over the running requests, kept up while nobody comes or goes."""

    calls: list[Call]
    context: int  # tokens
    least: int  # tokens until the first of them ends
    streamed: bool


def _sums_of(calls: list[Call]) -> _Sums:
    return _Sums(
        calls,
        context=sum(call.prompt_tokens + call.generated for call in calls),
        least=min(call.output_tokens - call.generated for call in calls),
        streamed=any(call.streamed for call in calls),
    )


class EngineCore(Queues):
    """One engine. Times are engine seconds and never decrease; calls that change something are told the time."""

    def __init__(self, options: ServerOptions, cost: Cost) -> None:
        super().__init__(options)
        self._cost = cost
        self.reporter = Reporter(self)
        self.iterations = 0  # completed
        self.paused: PauseMode | None = None
        self.log: list[tuple[Any, ...]] | None = None  # decisions, where somebody wants them
        self.longest = min(options.context_length - 1, self.cache.capacity - 1)  # prompt and reply together
        self._calls: dict[str, Call] = {}
        self._passes = PrefillPass(self)
        self._batch: list[tuple[Call, int]] = []  # being prefilled
        self._batch_seconds = 0.0
        self._batch_end = 0.0
        self._burst: Burst | None = None  # being decoded
        self._sums = _Sums([], 0, 0, streamed=False)
        self._aborting: dict[str, str] = {}
        self._last_step: list[str] = []  # of these, those who ran when the decode step under way began
        self._undecayed = 0  # the step that retracted does not count for the ratio
        self._events: list[Event] = []

    # From outside -----------------------------------------------------------------------------------------------------

    def add(self, call: Call, now: float) -> None:
        """A request arrives. Raises Refused where its prompt fits neither context nor pool."""
        self.run_to(now)
        call.prompt_tokens = length(call.prompt)
        if not call.prompt_tokens:  # a model is always given something to go on from
            call.prompt, call.prompt_tokens = [Run("start", 0, 1)], 1
        if call.prompt_tokens >= self.options.context_length:
            raise Refused(
                f"The input ({call.prompt_tokens} tokens) is longer than the model's context length "
                f"({self.options.context_length} tokens)."
            )
        page, capacity = self.options.page_size, self.cache.capacity
        longest = min(self.longest - INPUT_MARGIN, capacity - 2 * page)
        if call.prompt_tokens >= longest:
            raise Refused(
                f"Input length ({call.prompt_tokens} tokens) exceeds the maximum allowed length "
                f"({longest} tokens). Use a shorter input or enable --allow-auto-truncate."
            )
        paged = -(-call.prompt_tokens // page) * page
        room = min(self.longest - call.prompt_tokens - 1, capacity - paged - page - 1)
        call.max_new = max(1, room if call.max_new_tokens is None else min(call.max_new_tokens, room))
        call.output_tokens = max(1, min(length(call.output), call.max_new))
        call.arrived_at = now
        self._calls[call.rid] = call
        self.wait(call)
        self._reconsider(now)

    def __contains__(self, rid: str) -> bool:
        """Whether such a request waits or runs."""
        return rid in self._calls

    def abort(self, rid: str, now: float, message: str = "Abort before prefill") -> bool:
        """End that request: at once while it waits, after the chunk under way while it is prefilled in chunks, after one more
        decode step while it runs. False: it is not here.
        """
        self.run_to(now)
        call = self._calls.get(rid)
        if call is None:
            return False
        if call in self.waiting:
            self.drop_waiting(call)
            self._end(call, now, "abort", message)
        elif self._batch or self._burst is not None:
            self._aborting[rid] = message
            self._shorten(now)
        else:  # between two iterations of a paused engine
            self._aborting[rid] = message
            self._end_aborted(now)
        return True

    def end_session(self, session: str, now: float) -> int:
        """Its KV is dead. Returns the number of tree nodes that it referred to."""
        self.run_to(now)
        for call in self._calls.values():
            if call.session == session:  # what it leaves belongs to nobody any more
                call.session = None
        return self.cache.close_session(session)

    def flush(self, now: float) -> bool:
        """Empty the cache. False, and nothing changed, while anything runs or waits; of a paused engine, while anything runs."""
        self.run_to(now)
        if len(self._calls) > (len(self.waiting) if self.paused else 0):
            return False
        self.reset()
        return True

    def pause(self, mode: PauseMode, now: float) -> None:
        """Start no further iteration. `retract`: what runs waits again, without its KV; `abort`: all requests end."""
        self.run_to(now)
        self.paused = mode
        self._shorten(now)
        if mode == "abort":
            for rid in list(self._calls):
                self.abort(rid, now)
        if not self._batch and self._burst is None:
            self._stand()

    def resume(self, now: float) -> None:
        """Go on after `pause`."""
        self.run_to(now)
        self.paused = None
        self._reconsider(now)

    @property
    def is_idle(self) -> bool:
        """Nothing runs, nothing waits."""
        return not self._calls

    def started(self, now: float) -> int:
        """Iterations that have been started by then: who arrives now is looked at after that many."""
        if self._burst is not None:
            return self.iterations + min(self._burst.ended_by(now) + 1, self._burst.steps)
        return self.iterations + bool(self._batch)

    def began(self, iteration: int) -> float | None:
        """When that iteration of the burst under way has begun or will begin. None: it is not one of them."""
        if self._burst is not None and 0 < iteration - self.iterations <= self._burst.steps:
            return self._burst.end(iteration - self.iterations - 1)
        return None

    def next_time(self) -> float | None:
        """When something will have happened. None: never, unless something arrives."""
        if self._batch:
            return self._batch_end
        return self._burst.end(self._burst.steps) if self._burst is not None else None

    def run_to(self, now: float) -> None:
        """Complete all iterations that end by then, and start those that follow."""
        while (end := self.next_time()) is not None and end <= now:
            self._complete(end)
            self._start(end)

    def settle(self, now: float) -> None:
        """As `run_to`, and count what the burst under way has done by now: before counters and gauges are read."""
        self.run_to(now)
        if self._burst is not None:
            self._decoded(self._burst, self._burst.ended_by(now))
        elif not self._calls:
            self.reporter.still_idle(now)

    def take_events(self) -> list[Event]:
        """What has happened since this was asked last."""
        events, self._events = self._events, []
        return events

    # Iterations -------------------------------------------------------------------------------------------------------

    def _reconsider(self, now: float) -> None:
        """There is something new to admit: start, or let the burst end with the step under way."""
        if not self._batch and self._burst is None:
            self._start(now)
        elif not self.is_full or self.options.priority_scheduling:
            self._shorten(now)

    def _shorten(self, now: float) -> None:
        if self._burst is not None:
            self._burst.steps = min(self._burst.steps, self._burst.ended_by(now) + 1)

    def _start(self, now: float) -> None:
        if self.paused is not None:
            self._stand()
            return
        batch = self._passes.batch(now)
        if batch:
            self._start_prefill(batch, now)
        elif self.running:
            self._start_decode(now)
        elif self._calls:
            raise AssertionError(f"the engine stands, and {len(self._calls)} requests wait")
        else:
            self.ratio.reset()
            self.reporter.idle(now)

    def _stand(self) -> None:
        """Paused. What was retracted for it does not count as retracted (scheduler.py: pause_generation)."""
        if self.paused != "retract":
            return
        held = self.running if self.chunked is None else [*self.running, self.chunked]
        self.running, self.chunked, self.is_full = [], None, False
        for call in held:
            self.release(call, 0)
            self.wait(call)

    def _start_prefill(self, batch: list[tuple[Call, int]], now: float) -> None:
        self.storage.extend(batch)
        self._write("prefill", tuple((call.rid, call.prefilled, new) for call, new in batch))
        seconds = self._cost.prefill_s([(new, call.prefilled) for call, new in batch])
        loaded = self._passes.loaded_tokens
        if loaded:  # layer by layer, beside the computation
            options = self.options
            seconds = max(seconds, loaded * options.kv_bytes_per_token / (options.gpus * options.host_gb_per_s * 1e9))
            self.reporter.counters.load_back += loaded
        self.reporter.prefill_started()
        self._batch, self._batch_seconds, self._batch_end = batch, seconds, now + seconds

    def _start_decode(self, now: float) -> None:
        if not self.storage.steps_with_room(self.running, 1):
            self._make_room(now)
            self._undecayed = 1
            if not self.running:
                self._start(now)
                return
        running, sums = self.running, self._sums
        if sums.calls is not running:
            sums = self._sums = _sums_of(running)
        self._last_step = list(self._aborting)
        if sums.streamed or self._aborting or (self.waiting and (not self.is_full or self.options.priority_scheduling)):
            steps = 1  # every token is told, or those who wait are looked at before every step
        else:
            steps = self.storage.steps_with_room(running, sums.least)
        fixed, slope = self._cost.decode_line(len(running))
        self._burst = Burst(now, len(running), fixed, slope, sums.context, steps)

    def _complete(self, now: float) -> None:
        if self._batch:
            self._end_prefill(now)
        elif self._burst is not None:
            self._decoded(self._burst, self._burst.steps)
            self._burst = None
            for rid in self._last_step:  # before it can end by itself, with its last token
                self._end_aborted_one(rid, now)
            if self._sums.streamed or not self._sums.least:
                stay = self._settled(self.running, now)
                if len(stay) < len(self.running):
                    self.is_full = False
                    self.running = stay
        if self._aborting:
            self._end_aborted(now, running=self.paused is not None)

    def _end_prefill(self, now: float) -> None:
        batch, self._batch = self._batch, []
        self.iterations += 1
        self.reporter.prefill_ended(now, self._batch_seconds, batch, self._passes.fresh)
        done = []
        for call, new in batch:
            call.prefilled += new
            if call.prefilled < call.fill and call.rid in self._aborting:
                continue  # what this chunk has computed is not kept
            self.storage.keep_prompt(call)
            if call.prefilled < call.fill:
                continue
            if call is self.chunked:
                self.chunked = None
            call.generated += 1
            if call.first_token_at is None:
                call.first_token_at = now
            done.append(call)
        joined = self._settled(done, now)
        if len(joined) < len(batch) or not self.running:
            self.is_full = False  # somebody has left the batch, or a new one begins
        if joined:
            self.running = [*self.running, *joined]
        self.reporter.report_prefill(now)

    def _decoded(self, burst: Burst, steps: int) -> None:
        """The first `steps` steps are over, and count."""
        if not steps:
            return
        self.storage.decode(self.running, steps)
        self._sums.context += burst.size * steps
        self._sums.least -= steps
        self.ratio.decay(steps - self._undecayed)
        self._undecayed = 0
        self.iterations += steps
        self.reporter.decoded(burst, steps)
        burst.advance(steps)

    def _settled(self, calls: list[Call], now: float) -> list[Call]:
        """Those that go on; the others have finished."""
        stay = []
        for call in calls:
            if call.generated < call.output_tokens:
                stay.append(call)
                if call.streamed:
                    self._events.append(Event(call, now))
                continue
            self.storage.finish(call, tag=True)
            self._write("finish", call.rid)
            cut = length(call.output) > call.output_tokens or (call.ignore_eos and call.generated == call.max_new)
            self._end(call, now, "length" if cut else "stop")
        return stay

    # Out of order -----------------------------------------------------------------------------------------------------

    def _make_room(self, now: float) -> None:
        """Retract requests until one more step finds room; the last one is aborted (schedule_batch.py: retract_decode)."""
        keep = self.retraction_order()
        victims: list[Call] = []
        self.storage.evict_for_step(keep)  # all idle KV goes before anybody is asked to
        while len(keep) > 1 and (not victims or not self.storage.evict_for_step(keep)):
            victim = keep.pop()
            victims.append(victim)
            self.release(victim, len(keep))
        self.running = keep  # in that order: of two that end together, the first is the first to be evicted
        if keep and not self.storage.evict_for_step(keep):
            last = self.running[0]
            self.running = []
            self.storage.release(last)
            self._end(last, now, "abort", "Out of memory even after retracting all other requests in the decode batch.")
        self.reporter.retracted(victims)
        for call in victims:
            self._write("retract", call.rid)
            self.wait(call)
        self.ratio.after_retraction(self.running)
        self.is_full = False

    def _end_aborted(self, now: float, *, running: bool = True) -> None:
        """What was aborted while an iteration ran; what runs gets one more step unless told otherwise (scheduler.py: abort_request)."""
        for rid in list(self._aborting):
            call = self._calls.get(rid)
            if running or call is None or call is self.chunked or call in self.waiting:
                self._end_aborted_one(rid, now)

    def _end_aborted_one(self, rid: str, now: float) -> None:
        message = self._aborting.pop(rid, "")
        call = self._calls.get(rid)
        if call is None:  # it finished with that iteration
            return
        if call in self.running:
            self.running = [other for other in self.running if other is not call]
            self.is_full = False
            self.storage.finish(call, tag=False)
        elif call is self.chunked:
            self.chunked = None
            self.storage.release(call)
        elif call in self.waiting:
            self.drop_waiting(call)
        self._end(call, now, "abort", message)

    def _end(self, call: Call, now: float, reason: FinishReason, message: str | None = None) -> None:
        del self._calls[call.rid]
        call.finished_at, call.finish_reason, call.message = now, reason, message
        self._events.append(Event(call, now))

    def _write(self, *decision: Any) -> None:
        if self.log is not None:
            self.log.append((self.iterations, *decision))
