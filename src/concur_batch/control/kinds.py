"""What tasks of one kind are like: first context, growth per step, shared prefix, steps, tool calls; learned from replies. Pure."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection

from concur_batch.control.base import AgentView
from concur_batch.control.survival import Survival, prior_hazard

_FIRST_TOKENS = 4096.0  # of an agent that has not been heard of
_PRIOR_STEPS = 32.0  # what the prior of the growth counts for
_LEAST_GROWTH = 64.0
_MEMORY = 0.995  # of tool calls: the last 200 or so
_MOST_KINDS = 64
_LEAST_CALLS = 8


class Kind:
    """One kind of task. `whole`: all tasks together, which it is taken to be like until it shows otherwise; None for that itself."""

    def __init__(self, whole: Kind | None = None) -> None:
        self._whole = whole
        self.survival: Survival = Survival(prior_hazard if whole is None else whole.survival.hazard)
        self.first_tokens: float = _FIRST_TOKENS if whole is None else whole.first_tokens
        """Context after the first step, in the mean."""
        self.shared_tokens: int = 0 if whole is None else whole.shared_tokens
        """Of every context, what all agents of the kind have in common: the median of what the cache held of their first prompts."""
        self.growth_tokens: float = self.first_tokens
        """Per step, in the mean."""
        self._unheard = 0
        self._firsts = 0
        self._first_sum = 0.0
        self._growths = 0
        self._growth_sum = 0.0
        self._shared: deque[int] = deque(maxlen=32)
        self._long = self._calls = 0.0

    def replied(self, agent: AgentView) -> None:
        """A model call of this agent has been answered."""
        self.survival.stepped(agent.steps)
        if agent.steps > 1:
            self._growths += 1
            self._growth_sum += agent.growth_tokens
        else:
            self._firsts += 1
            self._first_sum += agent.context_tokens
            self.first_tokens = self._first_sum / self._firsts
            if agent.shared_tokens:
                self._shared.append(agent.shared_tokens)
                middle = sorted(self._shared)[len(self._shared) // 2]
                self.shared_tokens = min(middle, int(self.first_tokens))
        self._grow()

    def tool_ended(self, *, long: bool) -> None:
        """A tool call has come back. `long`: its agent gave up its slot for it, or would have."""
        self._calls = _MEMORY * self._calls + 1
        self._long = _MEMORY * self._long + long

    def unheard(self, agents: int) -> None:
        """So many active agents have not shown how they grow. Until they do they count as the prior, which is the first context
        without what is shared: those who are heard first are the quick ones, and grow less.
        """
        self._unheard = agents
        self._grow()

    @property
    def long_share(self) -> float:
        """Of tool calls, those in which agents give up their slots. 0 until eight have been seen."""
        if self._calls >= _LEAST_CALLS:
            return self._long / self._calls
        return 0.0 if self._whole is None else self._whole.long_share

    def _grow(self) -> None:
        prior = self.first_tokens - self.shared_tokens if self._whole is None else self._whole.growth_tokens
        weight = _PRIOR_STEPS + self._unheard
        self.growth_tokens = max(_LEAST_GROWTH, (self._growth_sum + weight * prior) / (self._growths + weight))


class Kinds:
    """All kinds of a run, by the agents' groups. With one group, or too many, there is only the whole."""

    def __init__(self) -> None:
        self.whole = Kind()
        self._groups: dict[str, Kind] = {}

    def of(self, agent: AgentView) -> Kind:
        """The kind of this agent, as it is known."""
        if len(self._groups) <= 1 or len(self._groups) > _MOST_KINDS:
            return self.whole
        return self._groups.get(agent.group, self.whole)

    def replied(self, agent: AgentView) -> None:
        """Told of every reply."""
        self.whole.replied(agent)
        self._own(agent).replied(agent)

    def tool_ended(self, agent: AgentView, *, long: bool) -> None:
        """Told of every tool call that has come back."""
        self.whole.tool_ended(long=long)
        self._own(agent).tool_ended(long=long)

    def ended(self, agent: AgentView) -> None:
        """Told of every agent that has ended."""
        self.whole.survival.ended(agent.steps)
        self._own(agent).survival.ended(agent.steps)

    def count_unheard(self, active: Collection[AgentView]) -> None:
        """Look who of the active agents has not made its second step."""
        unheard = Counter(agent.group for agent in active if agent.steps <= 1)
        self.whole.unheard(unheard.total())
        for group, kind in self._groups.items():
            kind.unheard(unheard[group])

    def _own(self, agent: AgentView) -> Kind:
        if agent.group not in self._groups and len(self._groups) <= _MOST_KINDS:
            self._groups[agent.group] = Kind(self.whole)
        return self._groups.get(agent.group) or Kind(self.whole)
