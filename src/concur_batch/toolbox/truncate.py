"""Too long an observation keeps its head and its tail, and says what is missing."""

from __future__ import annotations

from typing import NamedTuple


class Cut(NamedTuple):
    """A text, and whether something was left out of it."""

    text: str
    truncated: bool


def head_and_tail(text: str, max_chars: int) -> Cut:
    """At most about `max_chars` characters of a text: its first and last halves, with a note between them."""
    if len(text) <= max_chars:
        return Cut(text, truncated=False)
    keep = max(max_chars - 70, max_chars // 2)  # room for the note
    head, tail = keep - keep // 2, keep // 2
    note = f"\n[... {len(text) - keep:,} of {len(text):,} characters left out here ...]\n"
    return Cut(text[:head] + note + (text[-tail:] if tail else ""), truncated=True)


class HeadTail:
    """Collects a stream in bounded memory: its first and last bytes."""

    def __init__(self, max_bytes: int) -> None:
        self.total = 0
        self._head = bytearray()
        self._tail = bytearray()
        self._head_bytes = max_bytes - max_bytes // 2
        self._tail_bytes = max_bytes // 2

    def add(self, data: bytes) -> None:
        """The next piece of the stream."""
        self.total += len(data)
        room = self._head_bytes - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail += data
            if len(self._tail) > 2 * self._tail_bytes:  # cut now and then, not with every piece
                del self._tail[: len(self._tail) - self._tail_bytes]

    def cut(self) -> Cut:
        """What was kept, as text; what is not UTF-8 is replaced."""
        tail = bytes(self._tail[-self._tail_bytes :]) if self._tail_bytes else b""
        missing = self.total - len(self._head) - len(tail)
        if missing <= 0:
            return Cut((bytes(self._head) + tail).decode("utf-8", "replace"), truncated=False)
        note = f"\n[... {missing:,} of {self.total:,} bytes left out here ...]\n"
        text = bytes(self._head).decode("utf-8", "replace") + note + tail.decode("utf-8", "replace")
        return Cut(text, truncated=True)
