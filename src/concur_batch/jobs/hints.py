"""How far tasks are expected to go: what their rows say, else what an earlier run of the same tasks came to."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from concur_batch.jobs.ids import id_hash
from concur_batch.sim.tokens import MOST_TOKENS


class EarlierContexts:
    """Tokens in the context at the end of each task of an earlier run, 12 bytes per task."""

    def __init__(self, ended: Iterable[tuple[str, int]]) -> None:
        """`ended`: task id and tokens of each rollout, those of one task one after the other. Their mean counts."""
        packed = sorted(id_hash(task_id) << 32 | tokens for task_id, tokens in _means(ended))
        self._hashes = array("Q", (number >> 32 for number in packed))
        self._tokens = array("I", (number & 0xFFFF_FFFF for number in packed))

    def __len__(self) -> int:
        return len(self._hashes)

    def get(self, task_id: str) -> int | None:
        """None: the earlier run does not tell."""
        wanted = id_hash(task_id)
        at = bisect_left(self._hashes, wanted)
        return self._tokens[at] if at < len(self._hashes) and self._hashes[at] == wanted else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """Where a task's `expected_tokens` come from."""

    scale: float = 1.0  # of what rows say, where the run makes other lengths of them
    earlier: EarlierContexts | None = None

    def of(self, task_id: str, told: int | None) -> int | None:
        """`told`: by the row itself, which goes first."""
        if told is None:
            return None if self.earlier is None else self.earlier.get(task_id)
        return told if self.scale == 1.0 else min(max(1, round(told * self.scale)), MOST_TOKENS)


def _means(ended: Iterable[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    for task_id, rollouts in groupby(ended, key=itemgetter(0)):
        contexts = [tokens for _, tokens in rollouts]
        yield task_id, min(max(1, round(sum(contexts) / len(contexts))), MOST_TOKENS)
