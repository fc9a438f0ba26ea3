"""Limits that do not move: `off`, `fixed:N`. The baselines that every other policy has to beat."""

from __future__ import annotations

from dataclasses import dataclass

from concur_batch.control.base import Limit, Sample


@dataclass(frozen=True, slots=True)
class Fixed:
    """Always the same limit."""

    first: Limit

    def update(self, sample: Sample) -> Limit:  # noqa: ARG002 - the protocol's argument; this law looks at nothing
        """`first`, whatever the sample says."""
        return self.first


def off() -> Fixed:
    """No limit at all: only --max-agents binds."""
    return Fixed(Limit(reason="off"))


def fixed(agents: int) -> Fixed:
    """At most `agents` active."""
    return Fixed(Limit(agents=agents, reason="fixed"))
