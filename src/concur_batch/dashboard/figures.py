"""Numbers, times and foreign text as they are shown. Pure; every function takes any value without raising."""

from __future__ import annotations

import math
import re

from rich.cells import cell_len, set_cell_size

_CODE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")  # a whole sequence of a terminal: colours, mostly
NOTHING = "-"  # what is shown for a figure that is not known


def count(value: float | None) -> str:
    """Four digits at most before the unit: `1,234`, `12.3k`, `4.5M`."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if abs(value) < 9_999.5:
        return f"{value:,.0f}"
    for limit, unit in ((1e6, "k"), (1e9, "M"), (1e12, "G"), (1e15, "T")):
        if abs(value) < limit:
            return f"{value / limit * 1e3:.1f}{unit}"
    return f"{value:.1e}"


def rate(value: float | None) -> str:
    """One decimal below 100."""
    return f"{value:.1f}" if value is not None and abs(value) < 99.95 else count(value)


def share(value: float | None) -> str:
    """Percent without decimals."""
    return NOTHING if value is None or not math.isfinite(value) else f"{min(max(value, -9.99), 9.99):.0%}"


def progress(part: float, whole: float) -> str:
    """Percent of what is to be done, rounded down: all is only said of all."""
    return f"{min(math.floor(100 * part / whole), 100)}%" if whole > 0 and math.isfinite(part / whole) else NOTHING


def duration(seconds: float | None) -> str:
    """`4 s`, `12:31`, `3:12:31`, `5 d 3 h`; negative counts as 0."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02}"
    hours, minutes = divmod(minutes, 60)
    if hours < 100:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{hours // 24} d {hours % 24} h" if hours < 240_000 else f"{hours / 24:.1e} d"


def milliseconds(seconds: float | None) -> str:
    """For the lag of a loop: `3 ms`, `1.2 s`."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    return f"{seconds * 1e3:.0f} ms" if abs(seconds) < 1 else f"{rate(seconds)} s"


def seconds(value: float | None) -> str:
    """Of a tool call: `40 ms`, `1.2 s`, `12 s`, `3:20`."""
    if value is None or not math.isfinite(value) or value < 1:
        return milliseconds(value)
    return f"{value:.1f} s" if value < 9.95 else duration(value)


def size(value: float | None) -> str:
    """Of memory: `85 MB`, `1.2 GB`."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value / 1e6:,.0f} MB" if abs(value) < 999.5e6 else f"{rate(value / 1e9)} GB"


def change(before: float | None, now: float | None) -> tuple[str, str]:
    """Both with as many digits as it takes to tell them apart: `92.1k`, `92.3k`."""
    old, new = count(before), count(now)
    if old != new or before is None or now is None or before == now or not math.isfinite(before + now):
        return old, new
    return f"{before:,.0f}", f"{now:,.0f}"


def clean(text: str, *, ascii_only: bool) -> str:
    """The first line of text from elsewhere, without control characters and what the terminal's encoding cannot hold."""
    line = next(iter(text[:1000].strip().splitlines()), "")
    if not line.isprintable():
        line = _CODE.sub("", line)
        line = "".join(character if character.isprintable() else " " for character in line)
    return line.encode("ascii", "replace").decode() if ascii_only else line


def fit(text: str, width: int, *, ascii_only: bool) -> str:
    """Exactly `width` cells; what is cut off ends in an ellipsis."""
    used = cell_len(text)
    if used <= width:
        return text + " " * (width - used)
    return set_cell_size(text, width - 1) + ("~" if ascii_only else "…") if width > 0 else ""


def fit_ends(text: str, width: int, *, ascii_only: bool) -> str:
    """The same of a name that both ends tell apart: what is cut out is in its middle."""
    if cell_len(text) <= width or width < 3:
        return fit(text, width, ascii_only=ascii_only)
    right = width // 2
    tail = text[-4 * right :]
    while cell_len(tail) > right:
        tail = tail[1:]
    return fit(text, width - right, ascii_only=ascii_only) + " " * (right - cell_len(tail)) + tail
