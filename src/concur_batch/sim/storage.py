"""The KV of single requests: room for new tokens, into the tree, and out of it again."""

from __future__ import annotations

from bisect import bisect_right

from concur_batch.sim.call import Call
from concur_batch.sim.radix import RadixCache


class Storage:
    """Slots for requests, over a radix cache. `over_evict`: as 0.5.8, evict the whole amount asked for rather than what is missing."""

    def __init__(self, cache: RadixCache, *, over_evict: bool = False) -> None:
        self.cache = cache
        self._over_evict = over_evict

    @property
    def available(self) -> int:
        """Free or evictable."""
        return self.cache.free + self.cache.evictable

    def extend(self, batch: list[tuple[Call, int]]) -> None:
        """Slots for the new tokens of a prefill batch. With pages, room is made for one more page per request."""
        page, need = self.cache.page, 0
        for call, new in batch:
            more = -(-(call.prefilled + new) // page) * page - call.depth - call.held
            call.held += more
            need += more
        wanted = need if page == 1 else sum(new for _, new in batch) + page * len(batch)
        if self._over_evict and self.cache.free < wanted:
            self.cache.evict(wanted)
        else:
            self.make_room(wanted)
        self.cache.take(need)

    def make_room(self, tokens: int) -> None:
        """Evict what is missing to so many free tokens, as far as that goes."""
        if self.cache.free < tokens:
            self.cache.evict(tokens - self.cache.free)

    def keep_prompt(self, call: Call) -> None:
        """What has been prefilled goes into the tree, in whole pages, and stays locked (`checkpoint_into_tree`)."""
        page = self.cache.page
        prompt, whole = (end - end % page for end in (call.prompt_tokens, call.prefilled))
        beyond_prompt = 0 < prompt < call.depth
        # After a retraction, what had been generated becomes a node of its own again.
        for end in (min(call.prefilled, call.prompt_tokens), call.prefilled):
            stop = end - end % page
            new = stop - call.depth
            if new > 0 or (stop == whole and end == call.prefilled):  # less than a page is not kept, but touches the path
                assert call.node is not None
                node, taken = self.cache.insert(call.node, call.depth, call.sequence(), stop)
                self.cache.lock(node, call.node)
                self.cache.give_back(new - taken)
                call.node, call.depth, call.held = node, stop, call.held - new
        if beyond_prompt:  # it was found in the tree together with what had been generated
            self.cache.match(call.sequence(), prompt)

    def need(self, calls: list[Call], steps: int) -> int:
        """New slots for so many decode steps. A step stores the token that the step before has generated."""
        page = self.cache.page
        if page == 1:  # a running request has slots for all its tokens but the last
            return len(calls) * steps
        return sum(max(0, -(-(call.length + steps - 1) // page) * page - call.depth - call.held) for call in calls)

    def steps_with_room(self, calls: list[Call], most: int) -> int:
        """How many decode steps find room, `most` at most."""
        available = self.available
        if self.need(calls, most) <= available:
            return most
        return bisect_right(range(1, most), available, key=lambda steps: self.need(calls, steps))

    def evict_for_step(self, calls: list[Call]) -> bool:
        """Evict what one more decode step lacks, also where that will not do; whether it does (`check_decode_capacity`)."""
        need, cache = self.need(calls, 1), self.cache
        if cache.free < need:
            cache.evict(need if self._over_evict else need - cache.free)
        return cache.free >= need

    def decode(self, calls: list[Call], steps: int) -> None:
        """So many decode steps of these requests, which must find room: their slots, and what they generate."""
        page, cache = self.cache.page, self.cache
        need = self.need(calls, steps)
        wanted = self.need(calls, steps - 1) + page * len(calls)  # every step asks for a page per request
        if self._over_evict and cache.free < wanted:
            self._evict_step_by_step(calls, steps)
        else:
            self.make_room(wanted)
        cache.take(need)
        if page == 1:
            for call in calls:
                call.held += steps
                call.generated += steps
            return
        for call in calls:
            call.held += max(0, -(-(call.length + steps - 1) // page) * page - call.depth - call.held)
            call.generated += steps

    def _evict_step_by_step(self, calls: list[Call], steps: int) -> None:
        """A step that lacks room evicts all that it asks for, so it matters how the steps fall."""
        left, before = self.cache.free, 0
        asked = self.cache.page * len(calls)
        for step in range(1, steps + 1):
            if left < asked:
                left += self.cache.evict(asked)
            need = self.need(calls, step)
            left -= need - before
            before = need

    def finish(self, call: Call, *, tag: bool) -> None:
        """The request has ended: all but its last token, whose KV was never computed, stays in the tree, unlocked."""
        total = call.length - 1
        stop = total - total % self.cache.page
        top = call.node
        assert top is not None
        node, taken = self.cache.insert(top, call.depth, call.sequence(), stop)
        self.cache.give_back(call.held - taken)
        if tag and call.session is not None:
            self.cache.tag(node, call.session)
        self.cache.unlock(top)
        call.node, call.held = None, 0

    def release(self, call: Call) -> None:
        """Retracted or preempted: what is not in the tree is lost (`release_req`)."""
        assert call.node is not None
        self.cache.unlock(call.node)
        self.cache.give_back(call.held)
        call.node, call.held, call.depth, call.prefilled = None, 0, 0, 0
