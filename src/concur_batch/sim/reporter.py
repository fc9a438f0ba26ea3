"""Writes the readings when SGLang would (`metrics_reporter.py`, `Scheduler.publish_load_snapshot`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from concur_batch.sim.burst import Burst
from concur_batch.sim.call import Call
from concur_batch.sim.queues import Queues
from concur_batch.sim.readings import STALE_S, STEP_MOST_US, Counters, Gauges, Loads, RecentHits


class Reporter:
    """Counters, gauges and the snapshot of one engine."""

    def __init__(self, engine: Queues) -> None:
        self._engine = engine
        self.counters = Counters()
        self.gauges = Gauges(available=engine.cache.free)
        self.loads = Loads()
        self._recent = RecentHits()
        self._hit_rate = 0.0
        self._throughput = 0.0
        self.last_throughput = 0.0  # of the last decode report, however long ago
        self._retracted = 0
        self._running_before: Sequence[Call] = ()  # when the prefill batch under way was made
        self._priorities: set[int] = set()  # that there ever were
        self._decode_steps = 0
        self._since_publish = 0  # decode steps since the last snapshot
        self._since_tick = 0  # tokens since the last decode report
        self._last_tick = 0.0
        self._in_decode = False  # the iteration before was a decode step
        self._written = 0.0  # when the gauges were

    def prefill_started(self) -> None:
        """A batch has been made; the requests in it do not run yet."""
        self._running_before = self._engine.running

    def prefill_ended(self, now: float, seconds: float, batch: list[tuple[Call, int]], fresh: list[tuple[Call, int]]) -> None:
        """A batch has been computed, and is not processed yet. `fresh`: those that had not been prefilled at all before it, each
        with the tokens that were cached.
        """
        self._publish(now, self._engine.cache.locked)  # before this batch counts (scheduler.py: process_batch_result)
        self._since_publish = 0
        counters = self.counters
        computed = sum(new for _, new in batch)
        cached = sum(prefix for _, prefix in fresh)
        again = sum(new for call, new in batch if call.retractions)
        first_cached = sum(prefix for call, prefix in fresh if not call.retractions)
        counters.prefill_compute += computed
        counters.prefill_cache += cached
        counters.input += computed - again
        loaded = sum(call.host_cached_tokens for call, _ in fresh if not call.retractions)
        counters.host_hit += loaded
        counters.device_hit += first_cached - loaded
        counters.prefill_busy_us += round(seconds * 1e6)
        first = first_cached + computed - again
        self._hit_rate = first_cached / first if first else 0.0
        self._recent.add(now, first_cached, first)
        self._in_decode = False

    def report_prefill(self, now: float) -> None:
        """The same batch has been processed."""
        if now - self._last_tick > STALE_S:
            self._throughput = 0.0
        self._write_gauges(now, self._running_before, self._engine.cache.locked)

    def decoded(self, burst: Burst, steps: int) -> None:
        """The first `steps` steps of a burst are over; the engine's slots are those after them."""
        options, size, used = self._engine.options, burst.size, self._engine.cache.locked
        self.counters.decode += size * steps
        ticks = (self._decode_steps + steps) // options.decode_log_interval
        at = ticks * options.decode_log_interval - self._decode_steps  # the step at which the last one fell
        self._decode_steps += steps
        if at > 0:
            self._tick(burst, at, used - size * (steps - at))
            self._since_tick = size * (steps - at)
        else:
            self._since_tick += size * steps
        left = (self._since_publish + steps) % options.load_publish_interval
        at = steps - left
        if self._since_publish + steps >= options.load_publish_interval and at > 0:
            self._count_moments(burst, 0, at - 1)  # the step itself is counted after the snapshot
            self._publish(burst.end(at), used - size * left)
            self._count_moments(burst, at - 1, steps)
        else:
            self._count_moments(burst, 0, steps)
        self._since_publish = left

    def _count_moments(self, burst: Burst, done: int, steps: int) -> None:
        """Steps after the first `done` up to `steps`. SGLang leaves out a decode step that follows a prefill batch."""
        if steps <= done:
            return
        if not self._in_decode:
            self._in_decode = True
            done += 1
        counted = steps - done
        if counted <= 0:
            return
        mean = round((burst.end(steps) - burst.end(done)) * 1e6 / counted, 3)
        if mean < STEP_MOST_US:
            size = burst.size
            for i, value in enumerate((1.0, size, mean, size * size, size * mean, size)):
                self.counters.decode_moments[i] += value * counted

    def _tick(self, burst: Burst, at: int, used: int) -> None:
        """A decode report at step `at` of the burst."""
        interval = self._engine.options.decode_log_interval
        now = burst.end(at)
        if at > interval:
            tokens, since = burst.size * interval, burst.end(at - interval)
        else:
            tokens, since = self._since_tick + burst.size * at, self._last_tick
        self._throughput = self.last_throughput = tokens / (now - since) if now > since else 0.0
        self._last_tick = now
        if self._engine.options.is_old:
            self._hit_rate = 0.0  # scheduler_metrics_mixin.py of 0.5.8 writes it with every decode report
        self._write_gauges(now, self._engine.running, used, burst.context + burst.size * (at - 1))

    def retracted(self, calls: list[Call]) -> None:
        """These lost their KV and wait again."""
        self._retracted = len(calls)
        self.counters.retracted_requests += len(calls)
        self.counters.retracted_input += sum(call.prompt_tokens for call in calls)
        self.counters.retracted_output += sum(call.generated for call in calls)

    def idle(self, now: float) -> None:
        """Nothing runs any more. The gauges are written at once only where they still tell of running requests."""
        self._in_decode = False
        self._publish(now, self._engine.cache.locked)
        if self.gauges.running:
            self._write_idle(now)

    def still_idle(self, now: float) -> None:
        """Somebody looks at an idle engine."""
        if now - self._written > STALE_S:
            self._write_idle(now)

    def _write_idle(self, now: float) -> None:
        self._throughput = 0.0
        self._write_gauges(now, (), self._engine.cache.locked)

    def _write_gauges(self, now: float, running: Sequence[Call], used: int, sum_seq_lens: int | None = None) -> None:
        engine = self._engine
        cache = engine.cache
        by_priority: list[Mapping[int, int]] = [{}, {}]
        if engine.options.priority_scheduling:
            by_priority = [self._by_priority(calls) for calls in (running, engine.waiting)]
        self._written = now
        self.gauges = Gauges(
            running=len(running),
            queued=len(engine.waiting),
            running_by=by_priority[0],
            queued_by=by_priority[1],
            used=used,
            available=cache.capacity - used - cache.evictable,
            evictable=cache.evictable,
            cache_hit_rate=self._hit_rate,
            gen_throughput=self._throughput,
            sum_seq_lens=self.gauges.sum_seq_lens if sum_seq_lens is None else sum_seq_lens,
            new_token_ratio=engine.ratio.current,
            retracted=self._retracted,
        )
        self._retracted = 0

    def _by_priority(self, calls: Sequence[Call]) -> Mapping[int, int]:
        """A priority that was told once is told from then on (metrics_collector.py: _log_gauge_queue_count)."""
        counts = Counter(call.priority for call in calls)
        self._priorities |= counts.keys()
        return {priority: counts[priority] for priority in sorted(self._priorities)}

    def _publish(self, now: float, used: int) -> None:
        engine, counters = self._engine, self.counters
        moments, chunked = counters.decode_moments, engine.chunked
        self.loads = Loads(
            time=now,
            running=len(engine.running),
            queued=len(engine.waiting),
            used=used,
            queued_tokens=engine.waiting_tokens,
            queued_uncached_tokens=int(engine.waiting_tokens * (1 - self._recent.rate))
            + (0 if chunked is None else chunked.fill - chunked.prefilled),
            gen_throughput=self._throughput,
            cache_hit_rate=self._hit_rate,
            prefill_uncached_total=counters.prefill_compute,
            prefill_busy_us_total=counters.prefill_busy_us,
            decode_moments=tuple(moments) if moments[0] else None,
        )
