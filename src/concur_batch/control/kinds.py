"""What tasks of one kind are like: first context, growth per step, shared prefix, steps, tool calls; learned from replies. Pure."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Collection

from concur_batch.control.base import AgentView
from concur_batch.control.lengths import USUAL, usual_hazard
from concur_batch.control.survival import Survival

_FIRST_TOKENS = 4096.0  # of an agent that has not been heard of
_PRIOR_STEPS = 8.0  # what the prior of the growth counts for
_LEAST_GROWTH = 64.0
_MOST_PRIOR_GROWTH = 1_800.0  # what public traces of coding agents show (TraceLab); a long first prompt tells nothing of steps
LEAST_PER_POOL = 8  # agents of the usual length, until they show otherwise: who has a small pool runs small agents on it
_MEMORY = 0.995  # of tool calls: the last 200 or so
_MOST_KINDS = 64
_MOST_SHARED = 256  # first prompts that are remembered
_ODD = 64  # one in so many may have found less than what is shared: it came while that was being computed
_LEAST_CALLS = 8


class Kind:
    """One kind of task. `whole`: all tasks together, which it is taken to be like until it shows otherwise; None for that itself."""

    def __init__(self, whole: Kind | None = None) -> None:
        self._whole = whole
        self.survival: Survival = Survival(usual_hazard if whole is None else whole.survival.plain_hazard)
        self.first_tokens: float = _FIRST_TOKENS if whole is None else whole.first_tokens
        """Context after the first step, in the mean."""
        self.shared_tokens: int = 0 if whole is None else whole.shared_tokens
        """Of every context, what all agents of the kind have in common: the least that the cache held of a first prompt, but for one in 64."""
        self.first_own_tokens: float = self.first_tokens - self.shared_tokens
        """After the first step, in no other context, in the mean."""
        self.growth_tokens: float = max(_LEAST_GROWTH, self.first_tokens)
        """Per step, in the mean."""
        self.pool_tokens: float = math.inf
        """Of the engine, as the whole is told. inf: not known."""
        self._unheard = 0
        self._firsts = 0
        self._first_sum = self._first_own_sum = 0.0
        self._growths = 0
        self._growth_sum = self._growth_squares = 0.0
        self._steps = 0
        self._step_sum = self._step_squares = 0.0
        self._shared: deque[int] = deque(maxlen=_MOST_SHARED)
        self._long = self._calls = 0.0
        self._grow()

    def replied(self, agent: AgentView) -> None:
        """A model call of this agent has been answered."""
        self.survival.stepped(agent.steps)
        if agent.steps > 1:
            self._growths += 1
            self._growth_sum += agent.growth_tokens
            self._growth_squares += agent.growth_tokens**2
            if agent.step_tokens is not None:
                self._steps += 1
                self._step_sum += agent.step_tokens
                self._step_squares += agent.step_tokens**2
        else:
            self._firsts += 1
            self._first_sum += agent.context_tokens
            self.first_tokens = self._first_sum / self._firsts
            if agent.shared_tokens:
                self._shared.append(agent.shared_tokens)
                least = sorted(self._shared)[len(self._shared) // _ODD]
                self.shared_tokens = min(least, int(self.first_tokens))
            self._first_own_sum += own_tokens(agent, self)
            self.first_own_tokens = self._first_own_sum / self._firsts
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
        if self._whole is not None:
            self.survival.reconsider()  # what it is taken for follows the whole

    def expect(self, tokens: float) -> None:
        """First prompts, by what tasks tell: at least what is usual, and until somebody has been heard."""
        if not self._firsts:
            self.first_tokens = self.first_own_tokens = max(_FIRST_TOKENS, tokens)

    @property
    def heard(self) -> int:
        """Agents that have made their first step."""
        return self._firsts

    @property
    def growth_deviation(self) -> float:
        """Standard deviation of the growth per step, of the conversation that an agent is in; 0 until eight steps have been seen."""
        return math.sqrt(_variance(self._steps, self._step_sum, self._step_squares))

    @property
    def swing_deviation(self) -> float:
        """The same of what comes and goes besides, as agents leave conversations, come back and begin others. 0 where each has one."""
        within = _variance(self._steps, self._step_sum, self._step_squares)
        return math.sqrt(max(0.0, _variance(self._growths, self._growth_sum, self._growth_squares) - within))

    @property
    def mean_tokens(self) -> float:
        """Of an agent's own context, without what is shared, over its steps."""
        return self.first_tokens - self.shared_tokens + self.growth_tokens * self.survival.mean_steps / 2

    @property
    def long_share(self) -> float:
        """Of tool calls, those in which agents give up their slots. 0 until eight have been seen."""
        if self._calls >= _LEAST_CALLS:
            return self._long / self._calls
        return 0.0 if self._whole is None else self._whole.long_share

    def _grow(self) -> None:
        if self._whole is None:
            own = self.first_tokens - self.shared_tokens
            fitting = (self.pool_tokens / LEAST_PER_POOL - own) / USUAL
            prior = min(own, _MOST_PRIOR_GROWTH, max(_LEAST_GROWTH, fitting))
        else:
            prior = self._whole.growth_tokens
        weight = _PRIOR_STEPS + self._unheard
        self.growth_tokens = max(_LEAST_GROWTH, (self._growth_sum + weight * prior) / (self._growths + weight))


def own_tokens(agent: AgentView, kind: Kind) -> float:
    """Of what all its conversations need, what it has brought: not what its first prompt found in the cache, of all agents or of its siblings."""
    return max(0.0, agent.context_tokens + agent.other_tokens - max(kind.shared_tokens, agent.shared_tokens))


def _variance(count: int, total: float, squares: float) -> float:
    if count < _LEAST_CALLS:
        return 0.0
    mean = total / count
    return max(0.0, squares / count - mean * mean)


class Kinds:
    """All kinds of a run, by the agents' groups. With one there is only the whole; those beyond the 64th are as the whole."""

    def __init__(self) -> None:
        self.whole = Kind()
        self._groups: dict[str, Kind] = {}
        self._gone_on: dict[str, int] = {}  # rollout -> the steps after which it did not end

    def of(self, agent: AgentView) -> Kind:
        """The kind of this agent, as it is known."""
        return self.whole if len(self._groups) <= 1 else self._groups.get(agent.group, self.whole)

    def replied(self, agent: AgentView) -> None:
        """Told of every reply."""
        self._goes_on(agent, agent.steps - 1)
        for kind in self._told(agent):
            kind.replied(agent)

    def tool_ended(self, agent: AgentView, *, long: bool) -> None:
        """Told of every tool call that has come back."""
        self._goes_on(agent, agent.steps)
        for kind in self._told(agent):
            kind.tool_ended(long=long)

    def ended(self, agent: AgentView) -> None:
        """Told of every agent that has ended."""
        self._gone_on.pop(agent.rollout, None)
        for kind in self._told(agent):
            kind.survival.ended(agent.steps)

    def count_unheard(self, active: Collection[AgentView]) -> None:
        """Look who of the active agents has not made its second step, and as long as nobody has been heard how long their prompts are."""
        if not self.whole.heard:
            self.whole.expect(sum(agent.prompt_tokens for agent in active) / max(1, len(active)))
        unheard = Counter(agent.group for agent in active if agent.steps <= 1)
        self.whole.unheard(unheard.total())
        for group, kind in self._groups.items():
            kind.unheard(unheard[group])

    def _goes_on(self, agent: AgentView, steps: int) -> None:
        """Known as soon as its tools are back. By its next reply those that end would long have been counted, and the first few seem to be all."""
        if self._gone_on.get(agent.rollout, 0) < steps:
            self._gone_on[agent.rollout] = steps
            for kind in self._told(agent):
                kind.survival.goes_on(steps)

    def _told(self, agent: AgentView) -> tuple[Kind, ...]:
        own = self._own(agent.group)
        return (self.whole,) if own is self.whole else (self.whole, own)

    def _own(self, group: str) -> Kind:
        found = self._groups.get(group)
        if found is None:
            if len(self._groups) >= _MOST_KINDS:
                return self.whole
            found = self._groups[group] = Kind(self.whole)
        return found
