"""What has been said after so many tokens."""

from __future__ import annotations

from collections.abc import Sequence

from concur_batch.sim.runs import Run, head
from concur_batch.sim.tokens import marker, text_of


class Utterance:
    """A reply as it comes into being.

    Args:
        output: its tokens. They may go on behind the content: tool calls, the end of the turn.
        content: what there is to read when all of it has been said.
    """

    def __init__(self, output: Sequence[Run], content: str) -> None:
        self._output = output
        self._content = content
        self._index = 0  # the run being told,
        self._before = 0  # tokens in front of it,
        self._inside = 0  # and its tokens that have been told
        self._told = 0  # characters

    def more(self, generated: int) -> str:
        """The text that has come since this was asked last. A marker comes whole, with its last token."""
        parts: list[str] = []
        while self._index < len(self._output):
            run = self._output[self._index]
            tokens = min(generated - self._before, len(run))
            if run.chars:
                parts.append(run.text(run.start + self._inside, run.start + tokens))
                self._inside = tokens
            elif tokens == len(run):
                parts.append(marker(tokens, run.content))
            if tokens < len(run):
                break
            self._index, self._before, self._inside = self._index + 1, self._before + len(run), 0
        text = "".join(parts)[: len(self._content) - self._told]
        self._told += len(text)
        return text

    def whole(self, generated: int, *, complete: bool) -> str:
        """All that is there to read after the last token."""
        return self._content if complete else text_of(head(self._output, generated))

    def rest(self, generated: int, *, complete: bool) -> str:
        """Of this, what `more` has not told."""
        return self.whole(generated, complete=complete)[self._told :]
