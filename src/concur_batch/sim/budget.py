"""How much one prefill pass may admit: SGLang's `PrefillAdder` and `PrefillBudget` (schedule_policy.py, prefill_budget.py)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from concur_batch.sim.call import Call
from concur_batch.sim.radix import RadixCache

CLIP_MAX_NEW = 4_096  # SGLANG_CLIP_MAX_NEW_TOKENS_ESTIMATION


class Verdict(Enum):
    """What to do with the next candidate."""

    CONTINUE = "continue"
    NO_TOKEN = "no token"  # noqa: S105 - KV tokens, not secrets
    OTHER = "other"  # the pass is full


def reserve(call: Call, ratio: float) -> float:
    """Tokens that a running request is expected to need still."""
    return min(call.max_new - call.generated, CLIP_MAX_NEW) * (1.0 if call.ignore_eos else ratio)


class Budget:
    """Of one pass. The pool's part is read live, since locking a prefix takes it out of what can be evicted."""

    def __init__(self, cache: RadixCache, running: Iterable[Call], ratio: float, chunk: int, max_input: int) -> None:
        self._cache = cache
        self._page = cache.page
        self.total_offset = 0.0
        for call in running:  # not sum(), which rounds otherwise since Python 3.12
            self.total_offset += reserve(call, ratio)
        self.current_offset = 0
        self.chunk = chunk
        self.input = max_input

    @property
    def total(self) -> float:
        """Left for prompts and what they will generate."""
        return self._cache.free + self._cache.evictable - self.total_offset

    def state(self) -> Verdict:
        """Whether anything more can be admitted."""
        available = self._cache.free + self._cache.evictable
        if available <= self.total_offset or available <= self.current_offset:
            return Verdict.NO_TOKEN
        return Verdict.OTHER if self.input <= 0 or self.chunk <= 0 else Verdict.CONTINUE

    def fits(self, extend: int, max_new: int) -> bool:
        """Whether a candidate's new tokens and expected output do; its prefix must be locked meanwhile."""
        return extend + min(max(max_new, 0), CLIP_MAX_NEW) + self._page < self.total

    def cut(self, prefix: int, extend: int) -> int:
        """How much of `extend` this pass may compute; 0: nothing. Cuts end on a page."""
        if self.paged(extend) <= self.chunk:
            return extend
        return max(0, (prefix + self.chunk // self._page * self._page) // self._page * self._page - prefix)

    def continued(self, extend: int) -> int:
        """The same for the request whose first chunks were computed before: it always goes on."""
        available = min(self.chunk, int(self.total))
        return min(extend, available if available > 0 else self.chunk)

    def charge(self, extend: int, max_new: int) -> None:
        """Admitted. `max_new` 0 for all but the last chunk."""
        paged = self.paged(extend)
        self.total_offset += paged + self._page + min(max_new, CLIP_MAX_NEW)
        self.current_offset += paged + self._page
        self.input -= paged
        self.chunk -= paged

    def paged(self, tokens: int) -> int:
        """Up to whole pages."""
        return -(-tokens // self._page) * self._page
