"""Which rollouts are wanted, by what is known of each before its row is made."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from concur_batch.errors import ERROR_CLASSES, InputError
from concur_batch.records import STATUSES
from concur_batch.task import rollout_id


class Head(NamedTuple):
    """A rollout that has ended, in short."""

    id: str
    k: int
    status: str
    error_class: str | None

    @property
    def rollout(self) -> str:
        """`task#k`."""
        return rollout_id(self.id, self.k)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """None or empty: all."""

    statuses: frozenset[str] = frozenset()
    error_classes: frozenset[str] = frozenset()
    pattern: re.Pattern[str] | None = None

    def takes(self, head: Head) -> bool:
        """Whether this one is wanted: its id, or its `task#k`, contains a match of the pattern."""
        if self.statuses and head.status not in self.statuses:
            return False
        if self.error_classes and head.error_class not in self.error_classes:
            return False
        return self.pattern is None or bool(self.pattern.search(head.id) or self.pattern.search(head.rollout))

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out."""
        return self == Selection()


def selection(statuses: str | None, error_classes: str | None, pattern: str | None) -> Selection:
    """As given on the command line, several by commas. Raises InputError for what there is not."""
    try:
        compiled = None if pattern is None else re.compile(pattern)
    except re.error as error:
        raise InputError(f"--id {pattern}: is no regular expression ({error}); correct it") from None
    return Selection(
        statuses=_words("--status", statuses, STATUSES),
        error_classes=_words("--error-class", error_classes, ERROR_CLASSES),
        pattern=compiled,
    )


def _words(option: str, given: str | None, known: Iterable[str]) -> frozenset[str]:
    words = frozenset(word.strip() for word in (given or "").split(",") if word.strip())
    known = tuple(known)
    for word in sorted(words - set(known)):
        close = difflib.get_close_matches(word, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
        raise InputError(f"{option} {given}: there is no {word!r}; {hint}")
    return words
