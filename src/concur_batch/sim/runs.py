"""Token sequences without token ids: runs of text or of counted tokens, compared as the ids would be."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeAlias


class Run:
    """Tokens `start` to `stop` of a piece of content.

    `chars` > 0: the content is text, and its token i is `content[int(i * chars):int((i + 1) * chars)]`, the last one perhaps
    shorter. `chars` 0: the content is a key, and token i of it equals no other token than token i of the same key.
    """

    __slots__ = ("chars", "content", "start", "stop")

    def __init__(self, content: str, start: int, stop: int, chars: float = 0.0) -> None:
        self.content = content
        self.start = start
        self.stop = stop
        self.chars = chars

    def __len__(self) -> int:
        return self.stop - self.start

    def __repr__(self) -> str:
        return f"Run({self.content!r}, {self.start}, {self.stop}, {self.chars:g})"

    def token(self, i: int) -> Hashable:
        """The i-th token of this run: a piece of text, or key and position."""
        at = self.start + i
        return self.text(at, at + 1) if self.chars else (self.content, at)

    def text(self, start: int, stop: int) -> str:
        """Tokens `start` to `stop` of the content, as text. Only of text."""
        return self.content[int(start * self.chars) : int(stop * self.chars)]

    def cut(self, start: int, stop: int) -> Run:
        """Tokens `start` to `stop` of this run."""
        return Run(self.content, self.start + start, self.start + stop, self.chars)


Sequence_: TypeAlias = Sequence[Run]


def length(runs: Iterable[Run]) -> int:
    """Tokens of all runs."""
    return sum(run.stop - run.start for run in runs)


def head(runs: Iterable[Run], tokens: int) -> list[Run]:
    """The first `tokens` tokens."""
    taken: list[Run] = []
    for run in runs:
        if tokens <= 0:
            break
        size = run.stop - run.start
        taken.append(run if size <= tokens else run.cut(0, tokens))
        tokens -= size
    return taken


def tail(runs: Iterable[Run], tokens: int) -> list[Run]:
    """All but the first `tokens` tokens."""
    left: list[Run] = []
    for run in runs:
        size = run.stop - run.start
        if tokens <= 0:
            left.append(run)
        elif size > tokens:
            left.append(run.cut(tokens, size))
        tokens -= size
    return left


class Cursor:
    """A place in a sequence: run `index`, `offset` tokens into it."""

    __slots__ = ("index", "offset", "runs")

    def __init__(self, runs: Sequence_, index: int = 0, offset: int = 0) -> None:
        self.runs = runs
        self.index = index
        self.offset = offset
        self.skip(0)

    def key(self, tokens: int) -> Hashable:
        """The next `tokens` tokens as something to look up by. None: there are not so many."""
        index, offset = self.index, self.offset
        if index == len(self.runs):
            return None
        if tokens == 1:
            run = self.runs[index]
            return run.token(offset) if run.chars else (run.content, run.start + offset)
        found: list[Hashable] = []
        while len(found) < tokens and index < len(self.runs):
            run = self.runs[index]
            found.extend(run.token(i) for i in range(offset, min(len(run), offset + tokens - len(found))))
            index, offset = index + 1, 0
        return tuple(found) if len(found) == tokens else None

    def follow(self, runs: Sequence_, limit: int) -> int:
        """Go on as far as `runs` say the same, at most `limit` tokens; returns how far."""
        gone = 0
        for run in runs:
            at = 0
            whole = run.stop - run.start
            while at < whole:
                if gone == limit or self.index == len(self.runs):
                    return gone
                mine = self.runs[self.index]
                most = min(whole - at, mine.stop - mine.start - self.offset, limit - gone)
                if mine.content == run.content and mine.start + self.offset == run.start + at and mine.chars == run.chars:
                    same = most
                else:
                    same = _same(mine, self.offset, run, at, most)
                gone += same
                at += same
                self.skip(same)
                if same < most:
                    return gone
        return gone

    def skip(self, tokens: int) -> None:
        """Go on by so many tokens: to the beginning of a run rather than the end of the one before, past empty runs."""
        runs, left = self.runs, self.offset + tokens
        for index in range(self.index, len(runs)):
            size = runs[index].stop - runs[index].start
            if left < size:
                self.index, self.offset = index, left
                return
            left -= size
        self.index, self.offset = len(runs), 0

    def rest(self, tokens: int) -> list[Run]:
        """The next `tokens` tokens."""
        found: list[Run] = []
        index, offset = self.index, self.offset
        while tokens > 0:
            run = self.runs[index]
            step = min(len(run) - offset, tokens)
            found.append(run if step == len(run) else run.cut(offset, offset + step))
            tokens -= step
            index, offset = index + 1, 0
        return found

    def copy(self) -> Cursor:
        """Another cursor at the same place."""
        return Cursor(self.runs, self.index, self.offset)


def _same(one: Run, at: int, other: Run, other_at: int, most: int) -> int:
    """How many of `most` tokens are the same, of two runs that are not plainly the same place of the same content."""
    if not one.chars or not other.chars:
        return 0
    low, high = 0, most  # the first `low` are the same; by halving, since comparing slices is cheap
    a, b = one.start + at, other.start + other_at
    while low < high:
        middle = (low + high + 1) // 2
        if one.text(a + low, a + middle) == other.text(b + low, b + middle):
            low = middle
        else:
            high = middle - 1
    return low
