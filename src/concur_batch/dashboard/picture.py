"""A picture that stays in its place on a terminal. Only lines that changed are written again, so that nothing flickers."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console, ConsoleRenderable, RenderableType, RenderHook
from rich.control import Control
from rich.file_proxy import FileProxy
from rich.segment import ControlType, Segment, Segments

_WHOLE_EVERY = 20  # drawings, after which all lines are written: what others wrote over them goes

Line = list[Segment]


class Picture(RenderHook):
    """Within `with`, `draw` as often as you like; the last drawing stays. Whatever is printed meanwhile appears above it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines: list[Line] = []
        self._size = console.size
        self._lost = False  # where it stands is not known
        self._drawn = 0
        self._drawing = False
        self._streams: tuple[TextIO, TextIO] | None = None

    def __enter__(self) -> Self:
        """Hide the cursor, and take what tools print by `print`."""
        self._console.show_cursor(show=False)
        self._console.push_render_hook(self)
        if self._console.is_terminal:
            self._streams = sys.stdout, sys.stderr
            sys.stdout, sys.stderr = (_Printed(self._console, stream) for stream in self._streams)
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        """Leave the cursor below the picture, and shown. A last line that a tool has left open still goes above it."""
        try:
            for stream in (sys.stdout, sys.stderr):
                if isinstance(stream, _Printed):
                    stream.flush()
        finally:  # the terminal may be gone
            self._console.pop_render_hook()
            if self._streams is not None:
                sys.stdout, sys.stderr = self._streams
        if self._lines and not self._lost:
            self._console.line()
        self._console.show_cursor(show=True)

    def draw(self, picture: RenderableType) -> None:
        """In place of the last one."""
        lines = self._console.render_lines(picture, pad=False)
        size, whole = self._console.size, self._drawn % _WHOLE_EVERY == 0
        before = self._lines
        segments: Line = []
        if before and (self._lost or size != self._size):  # of another size a terminal breaks the lines anew
            segments += [Control.show_cursor(show=False).segment, Control.home().segment, Control.clear().segment]
            before, whole = [], True
        segments += _changes(before, lines, whole=whole)
        self._lines, self._size, self._lost, self._drawn = lines, size, False, self._drawn + 1
        self._write(segments)

    def lose(self) -> None:
        """Others may have written to the terminal: the next drawing begins with a clear screen."""
        self._lost = True

    @property
    def is_lost(self) -> bool:
        """Whether it waits to be drawn anew."""
        return self._lost

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Something is printed: take the picture away, and draw it below. Not one that is lost: where it was is a shell's by now."""
        if self._drawing or self._lost or not self._lines:
            return renderables
        return [Segments(_away(len(self._lines))), *renderables, Segments(_changes([], self._lines, whole=True))]

    def _write(self, segments: Iterable[Segment]) -> None:
        self._drawing = True
        try:
            self._console.print(Segments(segments), end="", crop=False)
        finally:
            self._drawing = False


class _Printed(FileProxy):
    """What is printed, line by line, without control sequences. A line left open ends where it is flushed."""

    def __init__(self, console: Console, stream: TextIO) -> None:
        super().__init__(console, stream)
        self._is_open = False

    def write(self, text: str) -> int:
        """As a stream does."""
        written = super().write(text)
        if text:
            self._is_open = not text.endswith("\n")
        return written

    def flush(self) -> None:
        """What there is of a line becomes one."""
        if self._is_open:
            self.write("\n")


def _changes(before: Sequence[Line], lines: Sequence[Line], *, whole: bool) -> Line:
    """From one picture to the next; the cursor stands in the last line of either, or where the first is to begin."""
    segments = _up(len(before))
    for i in range(max(len(before), len(lines))):
        if i:
            segments.append(Segment.line())
        line = lines[i] if i < len(lines) else []
        if whole or i >= len(before) or line != before[i]:
            segments += [*line, _ERASE]
    surplus = max(0, len(before) - max(1, len(lines)))
    return segments + ([Control((ControlType.CURSOR_UP, surplus)).segment] if surplus else [])


def _away(height: int) -> Line:
    """Erase so many lines, the cursor standing in the last of them; it stands in the first then."""
    return _changes([[]] * height, [], whole=True)


def _up(height: int) -> Line:
    """To the start of the first of so many lines."""
    start = Control(ControlType.CARRIAGE_RETURN).segment
    return [start, Control((ControlType.CURSOR_UP, height - 1)).segment] if height > 1 else [start]


_ERASE = Control((ControlType.ERASE_IN_LINE, 0)).segment  # from the cursor to the end of the line
