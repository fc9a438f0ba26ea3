"""Series and shares as characters. Pure; every function takes any value without raising, and gives as many cells as it is asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence

_BLOCKS = " ▁▂▃▄▅▆▇█"
_BLOCKS_ASCII = " _.:-=+*#"


def spark(values: Sequence[float | None], width: int, *, top: float = 1.0, ascii_only: bool) -> str:
    """The newest `width` values from 0 to `top` as blocks, newest at the right; a gap where nothing is known."""
    return tall(values, width, 1, top=top, ascii_only=ascii_only)[0]


def tall(values: Sequence[float | None], width: int, rows: int, *, top: float = 1.0, ascii_only: bool) -> list[str]:
    """The same over so many lines, the uppermost first. What is known is never blank: 0 has the lowest block."""
    blocks = _BLOCKS_ASCII if ascii_only else _BLOCKS
    rows = max(1, rows)
    newest = values[-width:] if width > 0 else ()
    levels = [_level(value, top, 8 * rows - (not ascii_only)) for value in newest]  # an eighth is left to the line above
    lines = ["".join(blocks[min(8, max(0, level - 8 * row))] for level in levels) for row in reversed(range(rows))]
    return [line.rjust(max(0, width)) for line in lines]


def _level(value: float | None, top: float, most: int) -> int:
    """0: not known; else 1 to `most`."""
    if value is None or not math.isfinite(value) or math.isnan(top):
        return 0
    if value <= 0 or top <= 0:
        return 1
    return min(most, max(1, math.ceil(min(value / top, 1.0) * most)))


def cells(shares: Sequence[float | None], width: int) -> list[int]:
    """So many cells for each share of a bar: `width` in all where they add up to 1 or more. What is there has a cell if any can be."""
    ends, reached = [], 0.0
    for share in shares:
        reached += min(max(share, 0.0), 1.0) if share is not None and math.isfinite(share) else 0.0
        ends.append(min(max(0, width), round(min(reached, 1.0) * width)))
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]
