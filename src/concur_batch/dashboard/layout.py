"""Lines that fit: labelled figures and texts, on as many lines as the width asks for or on one with the least important left out."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

INDENT = 10  # cells of the label column
GAP = "  "


def pair(name: str, value: str, style: str = "", after: str = "") -> Text:
    """A dim name, its value, and a dim remark."""
    text = Text.assemble((f"{name} ", "dim"), (value, style))
    return text.append(f" {after}", "dim") if after else text


def flow(label: str, parts: Sequence[Text], width: int) -> list[Text]:
    """The parts behind the label, on as many lines as needed; none is broken."""
    lines: list[Text] = []
    line, empty = _labelled(label), True
    for part in parts:
        if not empty and line.cell_len + len(GAP) + part.cell_len > width:
            lines.append(line)
            line, empty = _labelled(""), True
        line.append_text(part if empty else Text(GAP).append_text(part))
        empty = False
    return [*lines, line]


def one_line(label: str, parts: Sequence[Text], width: int) -> Text:
    """The parts behind the label, in order of importance: those that find no room are left out, the first never."""
    line = _labelled(label)
    for number, part in enumerate(parts):
        if not number:
            line.append_text(part)
        elif line.cell_len + len(GAP) + part.cell_len <= width:
            line.append(GAP).append_text(part)
    return line


def prose(label: str, title: Text, words: str, style: str, width: int, most: int, *, ascii_only: bool) -> list[Text]:
    """A title and running text behind the label, wrapped onto at most so many lines; an ellipsis stands for the rest."""
    ellipsis = "~" if ascii_only else "…"
    lines: list[Text] = []
    line = _labelled(label).append_text(title)
    for word in words.split():
        if line.cell_len + 1 + len(word) > width and line.cell_len > INDENT:
            if len(lines) == most - 1:
                line.truncate(max(0, width - 1), overflow="crop")
                line.append(ellipsis, style)
                break
            lines.append(line)
            line = _labelled("").append(word, style)
        else:
            line.append(f" {word}" if line.cell_len > INDENT else word, style)
    return [*lines, line]


def _labelled(label: str) -> Text:
    return Text.assemble((label.ljust(INDENT), "dim"))


def ends(left: Text, right: Text, width: int) -> Text:
    """One line with a part at either end; the right one is left out where there is no room."""
    space = width - left.cell_len - right.cell_len
    return left.append(" " * space).append_text(right) if space >= 2 else left
