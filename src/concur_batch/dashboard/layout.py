"""Lines that fit, sections that share the height, and columns side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.text import Text

LABEL = 9  # cells of the label column, with the gap after it
VALUE = 8  # cells of the column of values, with the gap after it
GAP = "  "


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the screen. `draw(width, height)` gives at most `height` lines, for each of the `sizes` (ascending)."""

    rank: int  # lower ones get room first
    sizes: Sequence[int]
    good: int = 0  # the size it should have before others get more than theirs, or blank lines
    spare: bool = False  # it is shown only where the others have their good size
    draw: Callable[[int, int], list[Text]]


def stack(sections: Sequence[Section], width: int, height: int) -> list[Text]:
    """The sections one below the other in at most `height` lines.

    In order of rank each gets its least size as far as there is room, then its good size; then there are blank lines between them
    if all can have one; then they grow in turn.
    """
    sizes = [0] * len(sections)
    left = height
    order = sorted(range(len(sections)), key=lambda i: sections[i].rank)
    essential = [i for i in order if not sections[i].spare]
    for i in essential:
        least = min(sections[i].sizes, default=0)
        if least <= left:
            sizes[i], left = least, left - least
    for i in essential:
        good = max((size for size in sections[i].sizes if sizes[i] < size <= min(sections[i].good, sizes[i] + left)), default=0)
        if sizes[i] and good:
            sizes[i], left = good, left - (good - sizes[i])
    content = all(sizes[i] >= _good(sections[i]) for i in essential)
    for i in order:
        least = min(sections[i].sizes, default=0)
        if sections[i].spare and content and least <= left:
            sizes[i], left = least, left - least
    blanks = sum(size > 0 for size in sizes) - 1
    spaced = 0 < blanks <= left and all(sizes[i] for i in essential)
    left -= blanks if spaced else 0
    growing = True
    while growing:
        growing = False
        for i in order:
            larger = min((size for size in sections[i].sizes if size > sizes[i]), default=0)
            if sizes[i] and larger and larger - sizes[i] <= left:
                left -= larger - sizes[i]
                sizes[i] = larger
                growing = True
    lines: list[Text] = []
    for section, size in zip(sections, sizes, strict=True):
        drawn = section.draw(width, size)[:size] if size else []
        if drawn and lines and spaced:
            lines.append(Text())
        lines += drawn
    return lines


def _good(section: Section) -> int:
    """The largest of its sizes that is not above its good one, or its least."""
    return max((size for size in section.sizes if size <= section.good), default=min(section.sizes, default=0))


def beside(left: Sequence[Text], right: Sequence[Text], width: int, gap: int, *, ascii_only: bool) -> list[Text]:
    """Two columns of lines, the left one `width` cells wide."""
    lines = []
    for i in range(max(len(left), len(right))):
        line = Text()  # without a style of its own, which the right part would take on
        if i < len(left):
            line.append_text(left[i])
        if i < len(right):
            within(line, width, ascii_only=ascii_only).pad_right(max(0, width - line.cell_len) + gap)
            line.append_text(right[i])
        lines.append(line)
    return lines


def label(name: str) -> Text:
    """The start of a line."""
    return Text.assemble((name[: LABEL - 1].ljust(LABEL), "dim"))


def value(text: str, style: str = "bold") -> Text:
    """What stands in the column of values."""
    return Text.assemble((f"{text:>{VALUE - 1}} ", style))


def pair(name: str, value: str, style: str = "bold", after: str = "") -> Text:
    """A value, what it is of, and a dim remark: `24 active`."""
    text = Text.assemble((value, style), (f" {name}", "dim"))
    return text.append(f" {after}", "dim") if after else text


def one_line(start: Text, parts: Sequence[Text], width: int) -> Text:
    """The parts behind the start, in order of importance: from the first that finds no room they are left out; the first never is."""
    line = start.copy()
    for number, part in enumerate(parts):
        if number and line.cell_len + len(GAP) + part.cell_len > width:
            break
        line.append(GAP if number else "").append_text(part)
    return line


def flow(start: Text, parts: Sequence[Text], width: int, most: int) -> list[Text]:
    """The parts behind the start, on at most so many lines; none is broken."""
    lines: list[Text] = []
    line, empty = start.copy(), True
    for part in parts:
        if not empty and line.cell_len + len(GAP) + part.cell_len > width:
            lines.append(line)
            line, empty = label(""), True
        line.append("" if empty else GAP).append_text(part)
        empty = False
    return [*lines, line][:most]


def prose(start: Text, words: str, style: str, width: int, most: int, *, ascii_only: bool) -> list[Text]:
    """Running text behind the start, wrapped onto at most so many lines; an ellipsis stands for the rest."""
    lines: list[Text] = []
    line, empty = start.copy(), True
    for word in words.split():
        text = Text(word, style=style)
        if not empty and line.cell_len + 1 + text.cell_len > width:
            if len(lines) == most - 1:
                line.truncate(max(0, width - 1), overflow="crop")
                line.append("~" if ascii_only else "…", style)
                break
            lines.append(line)
            line, empty = label(""), True
        line.append("" if empty else " ").append_text(text)
        empty = False
    return [within(one, width, ascii_only=ascii_only) for one in (*lines, line)]


def within(line: Text, width: int, *, ascii_only: bool) -> Text:
    """The line itself, at most so wide: an ellipsis stands for the rest."""
    if line.cell_len > width:
        line.truncate(max(0, width - 1), overflow="crop")
        line.append("~" if ascii_only else "…", line.spans[-1].style if line.spans else "")
    return line


def ends(left: Text, right: Text, width: int) -> Text:
    """One line with a part at either end; the right one is left out where there is no room."""
    space = width - left.cell_len - right.cell_len
    return left.append(" " * space).append_text(right) if space >= 2 else left
