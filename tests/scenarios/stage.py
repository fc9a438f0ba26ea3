"""A whole run in virtual time: the shipped runner, agents, gate, policies and records; only engine and tools are stand-ins."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from concur_batch import records as r
from concur_batch.agent.react import react
from concur_batch.agent.replay import History
from concur_batch.control.policies import Policy, make_policy
from concur_batch.engine.scripted import ScriptedEngine, reply
from concur_batch.errors import EngineDown, RunDirectoryError
from concur_batch.lane import Lane, LaneOptions
from concur_batch.plan import Defaults, Retry, plan
from concur_batch.recorder import Recorder
from concur_batch.records import decoder, encoder
from concur_batch.runner import Runner
from concur_batch.state import RunState
from concur_batch.task import Limits, Task
from concur_batch.toolbox.base import ToolOutput, ToolSpec
from concur_batch.virtual import run_virtual


class Tools:
    """`wait` sleeps as long as it is told; `once` must never run twice with the same argument; `look` may."""

    def __init__(self):
        self.specs = [
            ToolSpec(name="wait", description="", parameters={}),
            ToolSpec(name="once", description="", parameters={}),
            ToolSpec(name="look", description="", parameters={}, repeatable=True),
        ]
        self.offered = ["wait", "once", "look"]
        self.ran = []
        self.running = 0

    def open(self, rollout, seed, attempt=1):
        return Opened(self, rollout)

    async def aclose(self):
        pass


@dataclass
class Opened:
    tools: Tools
    rollout: str
    workspace: Path = Path()

    async def call(self, name, arguments):
        self.tools.ran.append((self.rollout, name, arguments))
        self.tools.running += 1
        try:
            await asyncio.sleep(1.0)
        finally:
            self.tools.running -= 1
        return ToolOutput(content=f"{name} saw {arguments}")

    async def aclose(self):
        pass


def turns(*names):
    """An engine script: one tool call of each name per turn, then an answer; the prompt grows by 100 tokens a step."""

    def outcome(request):
        done = sum(message["role"] == "assistant" for message in request.messages)
        prompt = 100 * (len(request.messages) + 1)
        if done < len(names):
            called = names[done] if isinstance(names[done], tuple) else (names[done],)
            calls = [(name, {"at": f"{request.rollout}/{done}/{i}"}) for i, name in enumerate(called)]
            return reply(None, *calls, prompt_tokens=prompt, cached_tokens=max(0, prompt - 200))
        return reply(f"answer of {request.rollout}", prompt_tokens=prompt, cached_tokens=max(0, prompt - 200))

    return outcome


def tasks(count, **more):
    return [
        Task(id=f"t{i}", index=i, source=f"job:{i + 1}", messages=({"role": "user", "content": f"do {i}"},), **more)
        for i in range(count)
    ]


@dataclass
class Stage:
    """What a scenario can set, and what it can look at afterwards. `records` is the journal over all segments."""

    engine: ScriptedEngine
    job: list
    controller: str = "off"
    parameters: dict = field(default_factory=dict)
    policy: Policy | None = None  # in place of the controller's
    max_agents: int = 1024
    pool_tokens: int | None = None  # as the policy is told beforehand
    n: int = 1
    limits: Limits = field(default_factory=Limits)
    agents: dict = field(default_factory=dict)
    agent: str = "react"
    retry: Retry = field(default_factory=Retry)
    wait_s: float = 600.0
    sessions: bool = True
    priority: bool = True
    plan_first: bool = False
    sample_rest: bool = False
    tools: Tools = field(default_factory=Tools)
    records: list = field(default_factory=list)
    full: Callable[[list, object], bool] = lambda records, record: False  # whether the disk is when this record is written
    runner: Runner | None = None
    complete: bool | None = None

    def run(self, meanwhile=None):
        """One segment. `meanwhile(stage)` runs beside it."""
        self.records = [decoder.decode(encoder.encode(record)) for record in self.records]  # as read from disk
        return run_virtual(self._run(meanwhile))

    def _append(self, record):
        if self.full(self.records, record):
            raise RunDirectoryError("full")
        self.records.append(record)

    async def _run(self, meanwhile):
        state, history = RunState(), History()
        for record in self.records:
            state.apply(record)
            history.apply(record)
        history.close()
        recorder = Recorder(asyncio.get_running_loop().time, self._append, state.apply)
        recorder.write(r.SegmentStarted(t=0.0, epoch=1e9, host="h", pid=1, version="test"))
        recorder.write(r.BatchLoaded(t=0.0, tasks=len(self.job), rollouts=len(self.job) * self.n))
        find = {"react": react, **self.agents}.__getitem__
        defaults = Defaults(agent=self.agent, n=self.n, limits=self.limits, plan_first=self.plan_first)
        runner = self.runner = Runner(
            plan(self.job, defaults, self.tools, find, history, self.retry),
            self.tools,
            recorder,
            max_agents=self.max_agents,
            unfinished=lambda: state.unfinished,
        )
        engines = self.engine if isinstance(self.engine, list) else [self.engine]
        lanes = [
            Lane(
                engine,
                self.policy or make_policy(self.controller, self.parameters, self.max_agents, self.pool_tokens),
                next(iter(engine.capabilities.models), "m"),
                LaneOptions(wait_s=self.wait_s, attempts=3, sessions=self.sessions, priority=self.priority),
                recorder,
                max_agents=self.max_agents,
                seed=0,
                on_room=runner.room,
                starting=runner.starting,
                on_gone=runner.gone,
            )
            for engine in engines
        ]
        for lane in lanes:
            lane.announce()
        beside = asyncio.create_task(meanwhile(self)) if meanwhile is not None else None
        try:
            self.complete = await runner.run(lanes, sample_rest=self.sample_rest)
        finally:
            if beside is not None:
                beside.cancel()
                await asyncio.gather(beside, return_exceptions=True)
            for lane in lanes:
                await lane.close()
        return self

    def of(self, kind, rollout=None):
        return [x for x in self.records if type(x) is kind and (rollout is None or x.rollout == rollout)]


def rng(seed):
    return random.Random(seed)


def after(seconds, action):
    async def meanwhile(stage):
        await asyncio.sleep(seconds)
        action(stage)

    return meanwhile


def drain(stage):
    stage.runner.drain("SIGINT")


def stop(stage):
    stage.runner.stop()


def fresh_engine(**more):
    return ScriptedEngine(turns("once", ("once", "look"), "once"), delay_s=2.0, **more)


class Flaky(ScriptedEngine):
    """Down between two moments: calls under way break, new ones find nobody."""

    def __init__(self, script, since, until, **more):
        super().__init__(script, **more)
        self.since, self.until = since, until

    def away(self):
        return self.since <= asyncio.get_running_loop().time() < self.until

    async def ready(self):
        return not self.away()

    async def stats(self):
        if self.away():
            raise EngineDown("refused")
        return await super().stats()

    async def complete(self, request):
        if self.away():
            self.requests.append(request)
            raise EngineDown("refused")
        started = asyncio.get_running_loop().time()
        answer = await super().complete(request)
        if started < self.since <= asyncio.get_running_loop().time():
            raise EngineDown("broke off")
        return answer


def finals(stage):
    return {x.rollout: x.output for x in stage.of(r.RolloutFinished)}


def fan(steps, tool):
    """An agent with three conversations at once, each of so many model calls with a tool call after each."""

    async def agent(task, ctx):
        async def branch(i):
            messages = [{"role": "user", "content": f"branch {i}"}]
            for step in range(steps):
                messages.append((await ctx.complete(messages)).message)
                messages.append((await ctx.call(tool, {"at": [task.id, i, step]})).message)
            return f"{i}"

        return "".join(await asyncio.gather(*(branch(i) for i in range(3))))

    return agent
