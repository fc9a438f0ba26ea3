"""How much KV a model call under way holds beyond what its agent's context tells: its new prompt, and the reply so far. Pure.

Contexts are as of the last reply. An engine that tells its locked KV shows what has come since, and it is more than half a step's growth:
at any moment it is mostly the long calls that are under way.
"""

from __future__ import annotations

from concur_batch.control.base import Sample

_SMOOTHING = 0.1  # per sample
_LEAST_GROWTHS = 0.5  # steps' growth
_MOST_GROWTHS = 4.0


class UnderWay:
    """Told of the engine by `sampled`, of the agents by `looked`; then `tokens`."""

    def __init__(self) -> None:
        self._locked_tokens: float | None = None
        self._running: int | None = None  # calls, as the engine tells
        self._running_share = 1.0  # of the calls under way: the others are held back, on the way or in a queue
        self._found: float | None = None

    def sampled(self, sample: Sample, pool_tokens: float | None) -> None:
        """What the engine holds locked, and for how many calls."""
        self._locked_tokens = None if sample.locked is None or pool_tokens is None else sample.locked * pool_tokens
        self._running = sample.running_requests

    def looked(self, calls: int, known_tokens: float, shared_tokens: float) -> None:
        """At the agents with calls under way, as of the last sample: the private tokens that their contexts tell, and what all have in common."""
        if self._locked_tokens is None or not calls:
            return
        if self._running:
            self._running_share += _SMOOTHING * (min(1.0, self._running / calls) - self._running_share)
        share = self._running_share
        found = (self._locked_tokens - shared_tokens - known_tokens * share) / (calls * share)
        before = found if self._found is None else self._found
        self._found = before + _SMOOTHING * (found - before)

    def tokens(self, growth_tokens: float) -> float:
        """Per call under way. One step's growth where the engine does not tell its locked KV."""
        if self._found is None:
            return growth_tokens
        return min(max(self._found, _LEAST_GROWTHS * growth_tokens), _MOST_GROWTHS * growth_tokens)
