"""Errors grouped by class, with their newest messages: bounded, however many there are and whatever they say. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["rollout", "call", "attempt", "tool"]

MOST_GROUPS = 24
MOST_EXAMPLES = 6  # messages kept of a group
LENGTH = 300  # characters kept of a message
OTHERS = "others"  # where classes go for which there is no room


@dataclass(slots=True, kw_only=True)
class Example:
    """One message, and how often it came."""

    message: str  # on one line; otherwise as it came: not fit for a terminal
    rollout: str  # the newest that it is from
    at: float  # seconds of work since the run's start, of the newest
    count: int = 1


@dataclass(slots=True, kw_only=True)
class Group:
    """Errors of one class. `kind`: they ended a rollout, were raised into an agent by a model call, ended one attempt of a
    call that was made again, or are a tool's.
    """

    kind: Kind
    name: str
    count: int = 0
    at: float = 0.0  # of the newest
    examples: dict[str, Example] = field(default_factory=dict)  # by message, the newest last

    @property
    def newest(self) -> Example:
        """Its newest message."""
        return next(reversed(self.examples.values()))


class Faults:
    """`add` errors in the order they come."""

    def __init__(self) -> None:
        self.groups: dict[tuple[Kind, str], Group] = {}

    def add(self, kind: Kind, name: str, message: str, rollout: str, at: float) -> None:
        """Take one in. The same message again counts up; of more than a few the oldest is forgotten.

        A message that begins with its rollout is the same as another's.
        """
        group = self.groups.get((kind, name)) or self._group(kind, name)
        group.count += 1
        group.at = at
        line = " ".join(message.removeprefix(f"{rollout}: ")[:LENGTH].split())
        known = group.examples.pop(line, None)
        count = 1 if known is None else known.count + 1
        group.examples[line] = Example(message=line, rollout=rollout, at=at, count=count)
        if len(group.examples) > MOST_EXAMPLES:
            del group.examples[next(iter(group.examples))]

    def _group(self, kind: Kind, name: str) -> Group:
        if len(self.groups) >= MOST_GROUPS:
            name = OTHERS
        return self.groups.setdefault((kind, name), Group(kind=kind, name=name))
