"""Trajectories in as few bytes as a page can hold: blocks of JSON, gzipped, in base64. Pure."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterable
from typing import Any

from concur_batch.report.chosen import Chosen

BLOCK_CHARS = 300_000  # of JSON; opened as a whole, so that what trajectories share is stored once
SAMPLE_SHARE = 0.3  # of the room, kept for rollouts that did not fail


def packed(content: Any) -> str:
    """JSON in ASCII, gzipped, in base64: the same bytes for the same content."""
    return base64.b64encode(gzip.compress(json.dumps(content, separators=(",", ":")).encode("ascii"), 6, mtime=0)).decode("ascii")


class Pack:
    """`add` trajectories until it says that there is no more room; `blocks` hold them, `where` tells in which and at what place."""

    def __init__(self, budget: int) -> None:
        self.blocks: list[str] = []
        self.where: dict[str, tuple[int, int]] = {}
        self._budget = budget  # characters of all blocks
        self._used = 0
        self._open: list[Any] = []
        self._names: list[str] = []
        self._size = 0

    def fill(self, chosen: Iterable[Chosen], tell: Callable[[Chosen], Any], share: float = 1.0) -> None:
        """Add each, as `tell` tells it, while they fit into this share of the room. One that was added already is passed over."""
        for one in chosen:
            name = one.rollout
            if name in self.where or name in self._names:
                continue
            if self._used + self._size // 8 >= self._budget * share:  # text shrinks to a third or less, base64 included
                self._close(share)
                if self._used >= self._budget * share * 0.98:
                    return
            content = tell(one)
            self._open.append(content)
            self._names.append(name)
            self._size += len(json.dumps(content))
            if self._size >= BLOCK_CHARS:
                self._close(share)
        self._close(share)

    def _close(self, share: float) -> None:
        """Pack what is open; where it does not fit, the half of it that does."""
        room = int(self._budget * share) - self._used
        while self._open:
            block = packed(self._open)
            if len(block) <= room:
                for place, name in enumerate(self._names):
                    self.where[name] = (len(self.blocks), place)
                self.blocks.append(block)
                self._used += len(block)
                break
            half = len(self._open) // 2
            del self._open[half:], self._names[half:]
        self._open, self._names, self._size = [], [], 0
