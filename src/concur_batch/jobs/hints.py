"""How far tasks are expected to go: what their rows say, else what an earlier run of the same tasks came to."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from concur_batch.jobs.ids import id_hash
from concur_batch.sim.tokens import MOST_TOKENS


class EarlierContexts:
    """Tokens in the context at the end of each task of an earlier run, 16 bytes per task."""

    def __init__(self, ended: Iterable[tuple[str, int]]) -> None:
        """`ended`: task id and tokens of each rollout, those of one task one after the other. Their mean counts."""
        hashes, tokens = array("Q"), array("Q")
        for task_id, rollouts in groupby(ended, key=itemgetter(0)):
            contexts = [context for _, context in rollouts]
            hashes.append(id_hash(task_id))
            tokens.append(min(max(1, round(sum(contexts) / len(contexts))), MOST_TOKENS))
        order = sorted(range(len(hashes)), key=hashes.__getitem__)
        self._hashes = array("Q", map(hashes.__getitem__, order))
        self._tokens = array("Q", map(tokens.__getitem__, order))

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
