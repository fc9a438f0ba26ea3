"""Who is prefilled next: one pass over the waiting queue (`Scheduler._get_new_batch_prefill_raw`, `PrefillAdder`)."""

from __future__ import annotations

from concur_batch.sim.budget import CLIP_MAX_NEW, Budget, Verdict, reserve
from concur_batch.sim.call import Call
from concur_batch.sim.queues import Queues
from concur_batch.sim.radix import Match

QUEUE_MATCH_MOST = 128  # waiting requests whose prefixes are looked at per pass (schedule_policy.py:137)
REFRESH_INTERVAL = 32  # passes between two refreshes of waiting prefixes (schedule_policy.py:139)


class PrefillPass:
    """Makes prefill batches out of the queues."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues
        self._passes = 0
        self.fresh: list[tuple[Call, int]] = []  # of the last batch, those that were not in chunks before, with what was cached
        self.loaded_tokens = 0  # from host memory, for the last batch

    def batch(self, now: float) -> list[tuple[Call, int]]:
        """The next batch, with the new tokens of each; empty: there is none, and decoding goes on."""
        q, options = self._queues, self._queues.options
        self.loaded_tokens, self.fresh = 0, []
        if options.priority_scheduling or not q.running:
            q.is_full = False
        if (q.is_full or not q.waiting) and q.chunked is None:
            return []
        slots = options.max_running_requests - len(q.running)
        if slots <= 0 and q.chunked is None and not options.priority_scheduling:
            q.is_full = True
            return []
        self._order()
        budget = Budget(q.cache, q.running, q.ratio.current, options.chunked_prefill_size, options.max_prefill_tokens)
        batch: list[tuple[Call, int]] = []
        if q.chunked is not None:
            batch.append((q.chunked, self._continue(q.chunked, budget)))
        preempted: list[Call] = []
        for call in q.waiting:
            if budget.state() is Verdict.OTHER:
                break
            if len(batch) >= options.max_running_requests - len(q.running):
                q.is_full = True
            if q.is_full:
                victims = self._preempt(call, budget) if options.priority_scheduling else []
                if not victims:
                    break
                preempted += victims
            verdict, new = self._try(call, budget, now)
            if new:
                batch.append((call, new))
                self.fresh.append((call, call.prefilled))
            if verdict is not Verdict.CONTINUE:
                if verdict is Verdict.NO_TOKEN:
                    q.is_full = bool(batch or q.running)
                break
        q.leave_waiting(len(self.fresh))
        for call in preempted:
            q.wait(call)
        return batch

    def _order(self) -> None:
        q = self._queues
        if q.options.priority_scheduling:
            q.waiting.sort(key=lambda call: (-call.priority, call.arrival))
        elif q.options.schedule_policy == "lpm" and len(q.waiting) <= QUEUE_MATCH_MOST:
            matches = {call.rid: self._look_up(call) for call in q.waiting}
            q.waiting.sort(key=lambda call: -matches[call.rid].device_tokens - matches[call.rid].host_tokens)
            return
        if q.options.is_old or not q.waiting:
            return
        if self._passes % REFRESH_INTERVAL == 0:  # the head last, so that LRU eats the tail of the queue first
            for call in reversed(q.waiting[:QUEUE_MATCH_MOST]):
                self._look_up(call)
        self._passes += 1

    def _look_up(self, call: Call) -> Match:
        """All that is cached of it, perhaps the whole prompt (common.py: touch_waiting_prefix, match_kv_cache)."""
        return self._queues.cache.match(call.sequence(), call.length)

    def _match(self, call: Call) -> Match:
        """At least one token is always computed (schedule_batch.py:1766)."""
        return self._queues.cache.match(call.sequence(), call.length - 1)

    def _continue(self, call: Call, budget: Budget) -> int:
        """The next chunk of the one request that is prefilled in chunks."""
        left = call.fill - call.prefilled
        new = budget.continued(left)
        budget.charge(new, call.max_new if new == left else 0)
        return new

    def _try(self, call: Call, budget: Budget, now: float) -> tuple[Verdict, int]:
        """Admit it where it fits. Returns what to do with the next one, and its new tokens in this pass; 0: not admitted."""
        q, cache = self._queues, self._queues.cache
        match = self._match(call)
        node, prefix, loaded = match.node, match.device_tokens, 0
        call.asked = call.length - prefix
        cache.lock(node)  # the test counts without what it would lock
        if not budget.fits(call.asked, call.max_new - call.generated):
            cache.unlock(node)
            return Verdict.NO_TOKEN, 0
        if match.host_tokens:
            loaded = cache.load_back(match)
        if loaded:
            cache.lock(match.host_node, node)
            node, prefix = match.host_node, prefix + loaded
        left = call.length - prefix
        new = budget.cut(prefix, left)
        if new <= 0:
            cache.unlock(node)
            return Verdict.OTHER, 0
        call.node, call.depth, call.prefilled, call.fill, call.held = node, prefix, prefix, call.length, 0
        if new < left:
            q.chunked = call
        budget.charge(new, call.max_new if new == left else 0)
        self.loaded_tokens += loaded
        if call.admitted_at is None:
            call.admitted_at = now
            call.cached_tokens, call.host_cached_tokens = prefix, loaded
        else:
            call.recomputed_tokens += left
        return budget.state(), new

    def _preempt(self, call: Call, budget: Budget) -> list[Call]:
        """Running requests that have to make way for this one, already released; empty: it is not urgent enough, or too large.

        They are asked for their places (`max_running_requests`); its prompt counts as far as its admission was tried before.
        """
        q = self._queues
        missing = call.asked + min(call.max_new, CLIP_MAX_NEW) - budget.total
        victims = []
        for other in sorted(q.running, key=lambda other: (other.priority, -other.arrival)):
            if call.priority - other.priority <= q.options.preemption_threshold:
                break
            victims.append(other)
            missing -= reserve(other, q.ratio.current)
            if missing <= 0:
                break
        if not victims or missing > 0:
            return []
        left = len(q.running)
        for victim in victims:
            budget.total_offset -= reserve(victim, q.ratio.current)
            left -= 1
            q.release(victim, left)
        q.running = [other for other in q.running if other not in victims]
        return victims
