"""Records of runs that never were, for pictures, tests and measurements of what is shown. Seeded: the same ones always."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from concur_batch import records as r
from concur_batch.state import LiveRollout, RunState

TOOLS = {"python": 2.0, "shell": 6.0, "read_file": 0.2, "run_tests": 25.0}  # mean seconds
ERRORS = {
    "sandbox": "shell: ended by its memory limit of 1024 MiB; ask for less or set tools.memory_mb",
    "engine": "the model was asked for 131,072 tokens and more",
    "tool": "run_tests: AssertionError: expected 3 rows, found 0",
}


class Invented:
    """Agents that step, call tools, pause and end, on engines whose pools hold `pool` tokens, under a limit that moves."""

    def __init__(self, seed: int, *, agents: int, rollouts: int, engines: int = 1, policy: str = "forecast") -> None:
        self._dice = random.Random(seed)
        self._engines = [f"http://10.0.0.{i + 1}:30000" for i in range(engines)]
        self._policy = policy
        self._agents, self._rollouts, self._pool = agents, rollouts, 4_000 * agents // engines
        self._limits: dict[str, float] = dict.fromkeys(self._engines, 0.9 * self._pool if policy == "forecast" else 8)
        self._started = 0
        self._state = RunState()  # what has been told so far

    def records(self, seconds: int) -> Iterator[r.Record]:
        """From the start, so many seconds."""
        yield from self._told(self._opening())
        for second in range(1, seconds + 1):
            yield from self._told(self._second(second))

    def _told(self, stream: Iterator[r.Record]) -> Iterator[r.Record]:
        for record in stream:
            self._state.apply(record)
            yield record

    def _opening(self) -> Iterator[r.Record]:
        yield r.SegmentStarted(t=0.0, epoch=1_767_261_600.0, host="host", pid=1, version="0.1.0")
        yield r.BatchLoaded(t=0.1, tasks=self._rollouts, rollouts=self._rollouts, max_agents=1024)
        for engine in self._engines:
            kind: dict[str, Any] = {"engine_kind": "sglang", "model": "Qwen/Qwen3-8B", "version": "0.5.9", "statistics": "loads"}
            yield r.EngineSeen(t=0.2, engine=engine, policy=self._policy, capacity_tokens=self._pool, **kind)

    def _second(self, second: int) -> Iterator[r.Record]:
        replies: dict[str, list[r.ReplyReceived]] = {engine: [] for engine in self._engines}
        for engine in self._engines:
            yield from self._admitted(second, engine)
        for agent in list(self._state.live.values()):
            for record in self._agent(second, agent):
                if isinstance(record, r.ReplyReceived):
                    replies[agent.engine].append(record)
                yield record
        for engine in self._engines:
            yield from self._seen(second, engine, replies[engine])
        if second % 5 == 0:
            cpu = 0.4 + self._dice.random() / 5
            yield r.RunnerMeasured(
                t=second + 0.6, seconds=5.0, cpu_s=cpu, resident_bytes=150_000_000 + 50_000 * second, lag_s=0.004
            )

    def _admitted(self, second: int, engine: str) -> Iterator[r.Record]:
        most = max(1, self._agents // len(self._engines))
        while self._started < self._rollouts and self._active(engine) < most and self._room(engine) > 0:
            name = f"swe-{self._started:04}#0"
            self._started += 1
            yield r.RolloutStarted(t=float(second), rollout=name, engine=engine, task=name[:-2], k=0, index=self._started, seed=0)

    def _agent(self, second: int, agent: LiveRollout) -> Iterator[r.Record]:
        """What it does in one second."""
        dice, name, at = self._dice, agent.rollout, second + self._dice.random() * 0.4
        where: dict[str, Any] = {"t": at, "rollout": name, "engine": agent.engine, "step": agent.step}
        if agent.paused:
            if self._room(agent.engine) > 0:
                yield r.RolloutReturned(**where, paused_s=at - agent.since)
        elif agent.tools:
            n, (tool, _) = next(iter(agent.tools.items()))
            if dice.random() < 1 / TOOLS[tool]:
                ok = dice.random() < 0.97
                told = {"output": "" if ok else "exit code 1\nno such file", "ok": ok, "error_class": None if ok else "tool"}
                yield r.ToolFinished(
                    t=at, rollout=name, step=agent.step, n=n, tool=tool, seconds=max(0.05, at - agent.since), **told
                )
        elif dice.random() < 0.25:
            yield from self._step(at, agent)

    def _step(self, at: float, agent: LiveRollout) -> Iterator[r.Record]:
        dice, name, step = self._dice, agent.rollout, agent.step + 1
        history, missing = agent.context_tokens, self._missing(agent.engine)
        prompt = history + dice.randint(300, 900)
        missed = int(history * missing * dice.random())
        where: dict[str, Any] = {"t": at, "rollout": name, "engine": agent.engine}
        call: dict[str, Any] = {"n": 2 * step, "hash": "", "base": 0, "new": [], "message": {}, "finish_reason": "tool_calls"}
        tokens = {"prompt_tokens": prompt, "completion_tokens": dice.randint(60, 300), "cached_tokens": history - missed}
        told = {"history_tokens": history, "missed_tokens": missed, "model_s": max(0.1, at - agent.since)}
        yield r.ReplyReceived(**where, step=step, **call, **tokens, **told)
        if dice.random() < step / 60:
            failed = r.ErrorInfo(error_class=(kind := dice.choice(list(ERRORS))), message=ERRORS[kind])
            error = failed if dice.random() < 0.05 else None
            status = "error" if error else "completed" if dice.random() < 0.95 else "max_steps"
            yield r.RolloutFinished(**where, status=status, error=error)
        elif self._room(agent.engine) < -0.1 and self._policy != "off":
            yield r.RolloutPaused(**where, step=step, reason="limit")
        else:
            tool = dice.choice(list(TOOLS))
            yield r.ToolStarted(t=at, rollout=name, step=step, n=2 * step + 1, tool=tool, hash="")

    def _seen(self, second: int, engine: str, replies: list[r.ReplyReceived]) -> Iterator[r.Record]:
        dice, held = self._dice, [x for x in self._state.live.values() if x.engine == engine]
        active = [x for x in held if not x.paused]
        calls = [x for x in active if x.phase == "model"]
        queued = int(len(calls) * min(0.6, max(0.0, self._pressure(engine) - 0.9)))
        prompt, cached = sum(x.prompt_tokens for x in replies), sum(x.cached_tokens or 0 for x in replies)
        yield r.Sampled(
            t=second + 0.5,
            engine=engine,
            capacity_tokens=self._pool,
            locked=min(0.97, sum(x.context_tokens for x in calls) / self._pool),
            resident=min(1.0, 1.1 * self._pressure(engine)),
            running_requests=len(calls) - queued,
            queued_requests=queued,
            prefill_tokens=prompt - cached,
            prompt_tokens=prompt,
            cached_tokens=cached,
            generated_tokens=sum(x.completion_tokens for x in replies),
            history_tokens=sum(x.history_tokens for x in replies),
            missed_tokens=sum(x.missed_tokens or 0 for x in replies),
            active=len(active),
            waiting=len(held) - len(active) + self._state.unstarted,
            committed_tokens=sum(x.context_tokens for x in active),
            steps=len(replies),
            lag_s=dice.uniform(0.001, 0.006),
        )
        yield self._decided(second, engine)

    def _decided(self, second: int, engine: str) -> r.Decided:
        tokens, limit, reason = self._policy == "forecast", self._limits[engine], "hold"
        at: dict[str, Any] = {"t": second + 0.5, "engine": engine}
        if self._policy == "off":
            return r.Decided(**at, agents=1024, reason="off")
        if second % 10 == 0 and self._pressure(engine) > 0.95:
            limit, reason = limit * (0.93 if tokens else 0.5), "cut"
        elif second % 4 == 0 and self._pressure(engine) < 0.8:
            limit, reason = min(limit * 1.04, 0.95 * self._pool) if tokens else limit + 2, "grow"
        self._limits[engine] = limit
        return (
            r.Decided(**at, agents=1024, tokens=int(limit), reason=reason)
            if tokens
            else r.Decided(**at, agents=int(limit), reason=reason)
        )

    # What is there ---------------------------------------------------------------------------------------------------

    def _active(self, engine: str) -> int:
        return sum(x.engine == engine and not x.paused for x in self._state.live.values())

    def _committed(self, engine: str) -> int:
        return sum(x.context_tokens for x in self._state.live.values() if x.engine == engine and not x.paused)

    def _pressure(self, engine: str) -> float:
        return self._committed(engine) / self._pool

    def _missing(self, engine: str) -> float:
        return min(0.9, max(0.0, self._pressure(engine) - 0.85) * 3)

    def _room(self, engine: str) -> float:
        """Share of the limit that is free; below 0: too many."""
        if self._policy == "off":
            return 1.0
        used = 1.3 * self._committed(engine) if self._policy == "forecast" else self._active(engine)
        return 1 - used / self._limits[engine]
