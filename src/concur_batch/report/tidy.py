"""Numbers and texts as the page holds them: short, finite, without what JSON or a reader cannot take. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable

NAME_CHARS = 200  # of an id, a tool's name, an engine's


def tidy(value: float | None, digits: int = 4) -> float | int | None:
    """So many significant digits; a whole number as it is; None for what is not finite."""
    if isinstance(value, int):
        return value
    if value is None or not math.isfinite(value):
        return None
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded == int(rounded) else rounded


def tidied(values: Iterable[float | None], digits: int = 4) -> list[float | int | None]:
    """Each of them."""
    return [tidy(value, digits) for value in values]


def moment(seconds: float) -> float:
    """Seconds to the millisecond."""
    return round(seconds, 3)


def named(rollout: str, most: int = NAME_CHARS) -> str:
    """A rollout as the page calls it: both ends of a very long id, since the end tells rollouts apart."""
    return rollout if len(rollout) <= most else f"{rollout[: most // 2]}…{rollout[most // 2 + 1 - most :]}"


def clipped(text: str, most: int = NAME_CHARS) -> str:
    """The beginning of it, with an ellipsis where there is more."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
