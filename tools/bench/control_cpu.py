"""What one decision of a policy costs with 1,024 active agents, in milliseconds of CPU; for control_suite.py --cpu."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from random import Random

from concur_batch.control.base import AgentView, Limit, Roster, Sample
from concur_batch.control.policies import Policy, make_policy
from concur_batch.sim.workload import AgentTrace, WorkloadParameters, generate
from report import show

ACTIVE = 1_024
TARGET_MS = 1.0
ROOM = {"with room": 2.0, "over the limit": 0.95}
"""The pool in times the contexts of the active agents."""


class Crowd:
    """Agents of the generated workload, each somewhere in its life, and a policy that has seen all of it."""

    def __init__(self, policy: Policy, active: int, room: float, seed: int = 0) -> None:
        self._policy = policy
        self._random = Random(seed)
        self._traces: dict[str, AgentTrace] = {}
        self._drawn = iter(generate(WorkloadParameters(agents=3 * active, scale_sigma=0.6), seed))
        self.roster = Roster(limit=policy.controller.first)
        for _ in range(active // 4):
            view = self.newcomer()
            self._live(view, len(self._traces[view.rollout].outputs))
            policy.admission.ended(view, self.roster)
        for place in (*[self.roster.active] * active, *[self.roster.paused] * (active // 8)):
            view = self.newcomer()
            self._live(view, self._random.randint(0, len(self._traces[view.rollout].outputs) - 1))
            place[view.rollout] = view
        for i, view in enumerate(self.roster.active.values()):  # two of three in a model call, one in a tool
            view.calls, view.tools = (1, 0) if i % 3 else (0, 1)
            view.tool_started = None if i % 3 else -self._random.random()
        self.roster.committed_tokens = sum(view.context_tokens for view in self.roster.active.values())
        self._pool = int(room * self.roster.committed_tokens)

    def newcomer(self) -> AgentView:
        """One that has not begun."""
        order = len(self._traces)
        view = AgentView(rollout=f"agent-{order:05d}", order=order)
        self._traces[view.rollout] = next(self._drawn)
        return view

    def sample(self) -> Sample:
        """A second later."""
        self.roster.now += 1.0
        for view in self.roster.active.values():
            if view.tools and self._random.random() < 0.5:  # another one in its place
                view.tool_started = self.roster.now - self._random.random()
        return Sample(
            engine="sim",
            time=self.roster.now,
            capacity_tokens=self._pool,
            locked=min(1.0, 0.7 * self.roster.committed_tokens / self._pool),
            resident=1.0,
            running_requests=2 * ACTIVE // 3,
            queued_requests=0,
            prefill_tokens=40_000,
            prefill_busy_seconds=0.6,
            history_tokens=1_000_000,
            missed_tokens=10_000,
            prompt_tokens=1_100_000,
            cached_tokens=1_000_000,
            generated_tokens=10_000,
            active=len(self.roster.active),
            waiting=len(self.roster.paused),
            committed_tokens=self.roster.committed_tokens,
        )

    def reply(self) -> AgentView:
        """One of the active agents has had its reply, and its tool has come back."""
        view = self._random.choice(list(self.roster.active.values()))
        before = view.context_tokens
        self._live(view, 1)
        self.roster.committed_tokens += view.context_tokens - before
        view.calls, view.tools, view.tool_started = 0, 0, None
        return view

    def call(self, view: AgentView) -> None:
        """It goes on."""
        view.calls = 1

    def _live(self, view: AgentView, steps: int) -> None:
        trace = self._traces[view.rollout]
        prompts = trace.prompts()
        for _ in range(steps):
            i = min(view.steps, len(prompts) - 1)
            context_tokens = max(view.context_tokens, prompts[i]) + trace.outputs[i]
            view.shared_tokens = trace.shared_tokens
            view.growth_tokens, view.context_tokens = context_tokens - view.context_tokens, context_tokens
            view.steps += 1
            self._policy.admission.replied(view)
            if i < len(trace.tool_seconds):
                self._policy.admission.tool_ended(view, trace.tool_seconds[i])


def decisions(name: str, active: int, room: float, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of CPU of each decision, over so many seconds of a run."""
    policy = make_policy(name, {}, 2 * active)
    crowd = Crowd(policy, active, room)
    roster, law = crowd.roster, policy.admission
    newcomer, returning = crowd.newcomer(), next(iter(roster.paused.values()))
    found: dict[str, list[float]] = {}

    def timed(what: str, decide: Callable[[], Limit | object]) -> object:
        began = time.thread_time_ns()
        decided = decide()
        found.setdefault(what, []).append((time.thread_time_ns() - began) / 1e6)
        return decided

    for _ in range(rounds):
        sample = crowd.sample()
        limit = timed("update", lambda sample=sample: policy.controller.update(sample))
        assert isinstance(limit, Limit)
        roster.limit = limit
        timed("yielding", lambda: list(law.yielding(roster)))
        timed("touching", lambda: list(law.touching(roster)))
        view = crowd.reply()
        timed("may_continue", lambda view=view: law.may_continue(view, roster))
        crowd.call(view)
        timed("may_start, new", lambda: law.may_start(newcomer, roster))
        timed("may_start, returning", lambda: law.may_start(returning, roster))
        roster.new = newcomer
        timed("next_returning", lambda: law.next_returning(roster))
    return found


def measure(name: str, active: int = ACTIVE, rounds: int = 400) -> None:
    """Print a row per kind of decision."""
    rows: list[list[object]] = []
    figures: dict[str, float] = {}
    for state, room in ROOM.items():
        for what, spent in decisions(name, active, room, rounds).items():
            middle, worst = statistics.median(spent), max(spent)
            holds = "yes" if middle <= TARGET_MS else "NO"
            rows.append([what, state, f"{middle:.3f}", f"{worst:.3f}", f"<= {TARGET_MS:g}", holds])
            figures[f"{what}, {state}"] = round(middle, 4)
            figures[f"{what}, {state}: worst"] = round(worst, 4)
    heading = ["decision", f"{active:,} active", "median ms", "worst ms", "target", "holds"]
    show(f"control_suite --cpu {name}", heading, rows, figures)
