"""The scheduler's queues, and what every part of it works on."""

from __future__ import annotations

from concur_batch.sim.call import Call
from concur_batch.sim.options import ServerOptions
from concur_batch.sim.radix import RadixCache
from concur_batch.sim.ratio import RETRACT_STEPS, NewTokenRatio
from concur_batch.sim.storage import Storage


class Queues:
    """Waiting and running requests over one cache. `is_full` is SGLang's `batch_is_full`: while it holds, nobody is admitted."""

    def __init__(self, options: ServerOptions) -> None:
        self.options = options
        self.ratio = NewTokenRatio(options.schedule_conservativeness)
        self.waiting: list[Call] = []
        self.waiting_tokens = 0
        self._entries = 0
        self.running: list[Call] = []  # replaced by another list whenever somebody comes or goes
        self.chunked: Call | None = None  # the one that is prefilled in chunks
        self.is_full = False
        self.cache = self._new_cache()
        self.storage = Storage(self.cache, over_evict=options.is_old)

    def reset(self) -> None:
        """An empty cache."""
        evicted = self.cache.evicted_total
        self.cache = self._new_cache()
        self.cache.evicted_total = evicted
        self.storage = Storage(self.cache, over_evict=self.options.is_old)

    def _new_cache(self) -> RadixCache:
        options = self.options
        host = int(options.capacity_tokens * options.host_ratio)
        return RadixCache(options.capacity_tokens, options.page_size, host_capacity=host, sessions=options.session_cache)

    def wait(self, call: Call) -> None:
        """To the end of the queue."""
        self._entries += 1
        call.arrival = self._entries
        self.waiting.append(call)
        self.waiting_tokens += call.length

    def leave_waiting(self, first: int) -> None:
        """The first so many have been admitted."""
        self.waiting_tokens -= sum(call.length for call in self.waiting[:first])
        del self.waiting[:first]

    def drop_waiting(self, call: Call) -> None:
        """This one has been aborted."""
        self.waiting.remove(call)
        self.waiting_tokens -= call.length

    def release(self, call: Call, left: int) -> None:
        """A running request loses its KV; whoever calls puts it back into the queue. `left`: requests that go on running, for
        each of which room for some more tokens is made (schedule_batch.py: release_req).
        """
        self.storage.release(call)
        self.storage.make_room(RETRACT_STEPS * left)
        call.retractions += 1

    def retraction_order(self) -> list[Call]:
        """Whom to keep longest comes first: most generated, then the shortest prompt (schedule_batch.py:3541)."""
        return sorted(self.running, key=lambda call: (call.generated, -call.prompt_tokens), reverse=True)
