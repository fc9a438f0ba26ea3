"""What agents do, as counts: tokens of prompts, replies and observations, and seconds of tools. And a seeded generator of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from random import Random

from concur_batch.errors import InputError
from concur_batch.sim.tokens import MOST_TOKENS

LONGEST_S = 604_800.0  # a week: a tool that took longer was recorded in another unit
"""Of a tool; what timers can hold."""

MOST_AGENTS = 1_000_000
"""Of one workload: about as many as a machine can hold."""

_MOST_STEPS = 100_000
_MOST_SIGMA = 10.0  # six of it are a factor of 10^26


@dataclass(frozen=True, slots=True)
class AgentTrace:
    """One agent: model call, tool, model call, ... and a last model call. The context only grows.

    Raises ValueError for lists of unequal lengths, counts below 1 and seconds that are negative or not finite.
    """

    shared_tokens: int  # of the first prompt, the same for every agent of the workload; 0 to prompt_tokens
    prompt_tokens: int  # of the first prompt, shared part included
    outputs: tuple[int, ...]  # tokens generated, one per model call
    observations: tuple[int, ...]  # tokens of the observation after each call but the last
    tool_seconds: tuple[float, ...]  # how long the tool took that gave it
    group: str = ""  # its kind of task; the shared part is shared within the group
    expected_tokens: int | None = None  # the context at the end as somebody guessed it; None: nobody has

    def __post_init__(self) -> None:
        if not (len(self.observations) == len(self.tool_seconds) == len(self.outputs) - 1):
            raise ValueError("an agent needs one observation and one tool time after each model call but the last")
        if min(self.prompt_tokens, *self.outputs, *self.observations) < 1:
            raise ValueError("prompt, replies and observations have at least one token each")
        if not 0 <= self.shared_tokens <= self.prompt_tokens:
            raise ValueError("the shared part is a part of the first prompt")
        if not all(0.0 <= seconds < math.inf for seconds in self.tool_seconds):
            raise ValueError("tool times are finite and not negative")

    def prompts(self) -> list[int]:
        """Tokens of the prompt of each model call: all that came before it."""
        lengths = [self.prompt_tokens]
        for output, observation in zip(self.outputs, self.observations, strict=False):
            lengths.append(lengths[-1] + output + observation)
        return lengths

    @property
    def final_tokens(self) -> int:
        """The context at the end: first prompt, all replies, all observations."""
        return self.prompt_tokens + sum(self.outputs) + sum(self.observations)


@dataclass(frozen=True, kw_only=True)
class WorkloadParameters:
    """Agents as they work on code, shaped after public traces; docs/workloads.md tells how each is drawn.

    Lognormal quantities are given by their median and the sigma of their logarithm. Raises InputError for values that
    cannot be drawn from.
    """

    agents: int = 256
    shared_tokens: int = 2000  # first part of the first prompt, the same for all
    start_tokens: int = 1500  # the rest of the first prompt; times the agent's scale
    least_steps: int = 10  # model calls, drawn evenly between these two
    most_steps: int = 30
    output_median: float = 250.0  # tokens
    output_sigma: float = 0.9
    least_output: int = 8
    most_output: int = 4096
    observation_median: float = 650.0  # tokens; times the agent's scale
    observation_sigma: float = 1.0
    least_observation: int = 8
    tool_median_s: float = 1.0
    tool_sigma: float = 1.2
    most_tool_s: float = 300.0
    scale_sigma: float = 0.35  # how much agents differ: a lognormal factor of mean 1
    most_private_tokens: int = 38_000  # no step is begun that would take the context without the shared part beyond this

    def __post_init__(self) -> None:
        self._within(1, MOST_AGENTS, "agents")
        self._within(1, _MOST_STEPS, "least_steps", "most_steps")
        self._within(1, MOST_TOKENS, "start_tokens", "least_output", "most_output", "least_observation")
        self._within(0, MOST_TOKENS, "shared_tokens")
        self._within(0, _MOST_SIGMA, "output_sigma", "observation_sigma", "tool_sigma", "scale_sigma")
        self._within(0, LONGEST_S, "most_tool_s")
        for name, most in (("output_median", MOST_TOKENS), ("observation_median", MOST_TOKENS), ("tool_median_s", LONGEST_S)):
            self._require(name, 0 < getattr(self, name) <= most, f"above 0 and at most {most:,.0f}")
        self._require("most_steps", self.most_steps >= self.least_steps, f"at least least_steps ({self.least_steps})")
        self._require("most_output", self.most_output >= self.least_output, f"at least least_output ({self.least_output})")

    def _within(self, least: int, most: float, *names: str) -> None:
        for name in names:
            self._require(name, least <= getattr(self, name) <= most, f"{least} to {most:,.0f}")

    def _require(self, name: str, right: bool, what: str) -> None:  # noqa: FBT001 - private, always positional
        if not right:
            raise InputError(f"workload.{name} is {getattr(self, name)}; it should be {what}")


def generate(parameters: WorkloadParameters, seed: int) -> list[AgentTrace]:
    """All agents, drawn one after the other from one `Random(seed)`; the same on every Python."""
    random = Random(seed)  # noqa: S311 - a workload, not a secret
    return [_draw(parameters, random) for _ in range(parameters.agents)]


def take(traces: Sequence[AgentTrace], agents: int) -> list[AgentTrace]:
    """The first `agents` of them, from the beginning again where there are fewer. `traces` must not be empty."""
    if not traces:
        raise ValueError("there are no agents to take from")
    return list(islice(cycle(traces), agents))


def scaled(trace: AgentTrace, token_scale: float, time_scale: float) -> AgentTrace:
    """All token counts and tool times multiplied, token counts rounded and at least 1 (0 shared tokens stay 0)."""

    def tokens(count: int) -> int:
        return max(1, min(round(count * token_scale), MOST_TOKENS))

    shared = tokens(trace.shared_tokens) if trace.shared_tokens else 0
    return AgentTrace(
        shared_tokens=shared,
        prompt_tokens=max(shared, tokens(trace.prompt_tokens)),
        outputs=tuple(tokens(count) for count in trace.outputs),
        observations=tuple(tokens(count) for count in trace.observations),
        tool_seconds=tuple(seconds * time_scale for seconds in trace.tool_seconds),
        group=trace.group,
        expected_tokens=None if trace.expected_tokens is None else tokens(trace.expected_tokens),
    )


def hinted(traces: Iterable[AgentTrace], sigma: float, seed: int) -> list[AgentTrace]:
    """The same agents, each expected to end at its true final context times exp(gauss(0, sigma)); sigma 0: the truth."""
    random = Random(f"hints {seed}")  # noqa: S311 - guesses, no secret; not the draws of the workload with the same seed
    return [replace(trace, expected_tokens=_guess(trace, sigma, random)) for trace in traces]


def _guess(trace: AgentTrace, sigma: float, random: Random) -> int:
    return max(1, min(round(trace.final_tokens * math.exp(random.gauss(0.0, sigma))), MOST_TOKENS))


def _draw(p: WorkloadParameters, random: Random) -> AgentTrace:
    """The order of the draws is part of what a seed means."""
    scale = math.exp(random.gauss(0.0, p.scale_sigma) - p.scale_sigma**2 / 2)
    start = max(1, min(int(p.start_tokens * scale), MOST_TOKENS))
    steps = random.randint(p.least_steps, p.most_steps)
    private = start
    outputs: list[int] = []
    observations: list[int] = []
    seconds: list[float] = []
    for step in range(steps):
        drawn = int(random.lognormvariate(math.log(p.output_median), p.output_sigma))
        output = min(p.most_output, max(p.least_output, drawn))
        drawn = int(scale * random.lognormvariate(math.log(p.observation_median), p.observation_sigma))
        observation = max(p.least_observation, min(drawn, MOST_TOKENS))
        private += output + observation
        if step > 0 and private > p.most_private_tokens:
            break
        outputs.append(output)
        observations.append(observation)
        seconds.append(min(p.most_tool_s, random.lognormvariate(math.log(p.tool_median_s), p.tool_sigma)))
    return AgentTrace(
        shared_tokens=p.shared_tokens,
        prompt_tokens=p.shared_tokens + start,
        outputs=tuple(outputs),
        observations=tuple(observations[:-1]),  # the last call's tool is never run
        tool_seconds=tuple(seconds[:-1]),
    )
