"""What a person at the dashboard asks for: admission held, and a factor on every limit that the controller decides. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from concur_batch.control.base import UNLIMITED, Limit

STEP = 1.1  # of one nudge
MOST = 24  # nudges to either side: about a tenth, and about ten times


@dataclass(frozen=True, slots=True, kw_only=True)
class Steering:
    """Nudges add up, so that as many up as down are none at all."""

    held: bool = False  # nobody is admitted, new or paused; whoever is active goes on
    nudges: int = 0
    rollouts: int = field(default=UNLIMITED, compare=False)  # of the run: a limit on agents above it holds nobody back

    @property
    def factor(self) -> float:
        """On the limits."""
        return round(STEP**self.nudges, 4)

    def toggled(self) -> Steering:
        """Hold admission, or let it go on."""
        return replace(self, held=not self.held)

    def nudged(self, by: int) -> Steering:
        """So many steps up, or down; at either end it stays."""
        return replace(self, nudges=max(-MOST, min(MOST, self.nudges + by)))

    def reset(self) -> Steering:
        """The limits as they are decided."""
        return replace(self, nudges=0)

    def in_force(self, decided: Limit, max_agents: int) -> Limit:
        """What holds: each decided limit times the factor, at least 1, and never more agents than `max_agents`.

        Where only agents are limited, less than a limit on more of them than there are rollouts is less than so many.
        """
        if not self.nudges:
            return decided
        agents = decided.agents
        if self.nudges < 0 and decided.tokens >= UNLIMITED and decided.requests >= UNLIMITED:
            agents = min(agents, self.rollouts)
        return decided._replace(
            agents=min(self._scaled(agents), max_agents),
            tokens=self._scaled(decided.tokens),
            requests=self._scaled(decided.requests),
        )

    def _scaled(self, limit: int) -> int:
        return limit if limit >= UNLIMITED else max(1, int(limit * self.factor + 1e-9))
