"""Sums over a run: of all its replies and calls, and of each tool."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(slots=True, kw_only=True)
class Totals:
    """Sums over all replies and calls of the run."""

    steps: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    cache_reported_tokens: int = 0  # prompt tokens of the replies that told cached_tokens
    completion_tokens: int = 0
    history_tokens: int = 0  # of replies that told misses
    missed_tokens: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    model_s: float = 0.0
    tool_s: float = 0.0
    paused_s: float = 0.0
    wait_s: float = 0.0
    retry_s: float = 0.0
    retries: int = 0
    admitted: int = 0  # rollouts that started, and started again
    admission_s: float = 0.0  # from the segment's opening to that

    @property
    def hit_rate(self) -> float | None:
        """Cached / prompt over the replies that tell; None without any."""
        return self.cached_tokens / self.cache_reported_tokens if self.cache_reported_tokens else None

    @property
    def miss_rate(self) -> float | None:
        """Missed / history; None without any."""
        return self.missed_tokens / self.history_tokens if self.history_tokens else None

    def since(self, earlier: Totals) -> Totals:
        """What has been added."""
        return Totals(**{name: getattr(self, name) - getattr(earlier, name) for name in _NAMES})

    def copy(self) -> Totals:
        """The same sums, which later ones leave alone."""
        return Totals(**{name: getattr(self, name) for name in _NAMES})


_NAMES = tuple(field.name for field in fields(Totals))


@dataclass(slots=True, kw_only=True)
class ToolTotals:
    """Sums over the calls of one tool that came back."""

    name: str
    calls: int = 0
    errors: int = 0
    seconds: float = 0.0
    longest_s: float = 0.0
