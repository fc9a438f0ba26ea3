"""From tasks and history to rollouts: which are left to run, in job order, made one at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from concur_batch.agent.base import Agent
from concur_batch.agent.replay import Ended, History, Past
from concur_batch.agent.setting import Setting, names_of
from concur_batch.rollout import Rollout
from concur_batch.task import Limits, Task, rollout_id
from concur_batch.toolbox.base import FINISH_SPEC, Toolbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What a task that does not say otherwise is run with."""

    agent: str = "react"
    model: str = ""  # "": what the engine serves
    n: int = 1
    seed: int = 0
    system: str | None = None
    plan_first: bool = False
    sampling: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Which failed rollouts are tried again."""

    classes: Collection[str] | None = None  # error classes; empty: all; None: none
    max_attempts: int = 3

    def wants(self, ended: Ended) -> bool:
        """Whether a rollout that ended like this is run once more."""
        if self.classes is None or ended.status != "error" or ended.attempt >= self.max_attempts:
            return False
        return not self.classes or ended.error_class in self.classes


def plan(
    tasks: Iterable[Task],
    defaults: Defaults,
    toolbox: Toolbox,
    find_agent: Callable[[str], Agent],
    history: History,
    retry: Retry,
) -> Iterator[Rollout]:
    """What is left to run. A past is handed out once and then forgotten here, so that memory follows the live agents."""
    schemas = Schemas(toolbox)
    for task in tasks:
        setting: Setting | None = None
        for k in range(task.n if task.n is not None else defaults.n):
            rollout = rollout_id(task.id, k)
            ended = history.ended.get(rollout)
            if ended is not None and not retry.wants(ended):
                continue
            past = history.unfinished.pop(rollout, None)
            setting = setting or _setting(task, defaults, schemas)
            yield _rollout(setting, k, defaults, find_agent, ended, past)


def is_done(tasks: Iterable[tuple[str, int]], history: History, retry: Retry) -> bool:
    """Whether `plan` would find nothing left to run. `tasks`: id and number of rollouts of each."""
    for task, n in tasks:
        for k in range(n):
            ended = history.ended.get(rollout_id(task, k))
            if ended is None or retry.wants(ended):
                return False
    return True


def _rollout(
    setting: Setting, k: int, defaults: Defaults, find_agent: Callable[[str], Agent], ended: Ended | None, past: Past | None
) -> Rollout:
    task = setting.task
    seed = (task.seed if task.seed is not None else defaults.seed) + k if past is None else past.started.seed
    sampling = {"seed": seed, **setting.sampling}  # that of a run which an earlier version began may have one: it goes on with it
    name = task.agent or defaults.agent
    begun_with = past.started.model if past is not None else ""
    return Rollout(
        setting=replace(setting, rollout=rollout_id(task.id, k), seed=seed, sampling=sampling, begun_with=begun_with),
        k=k,
        agent=find_agent(name),
        agent_name=name,
        attempt=ended.attempt + 1 if ended is not None else past.started.attempt if past is not None else 1,
        past=past,
    )


def _setting(task: Task, defaults: Defaults, schemas: Schemas) -> Setting:
    if defaults.system is not None and task.messages and task.messages[0].get("role") != "system":
        task = replace(task, messages=({"role": "system", "content": defaults.system}, *task.messages))
    offered = schemas.of(task.tools)
    return Setting(
        task=task,
        rollout="",
        seed=0,
        model=task.model or defaults.model,
        sampling={**defaults.sampling, **task.sampling},
        limits=_merged(task.limits, defaults.limits),
        offered=offered,
        offered_names=names_of(offered),
        specs=schemas.specs,
        plan_first=defaults.plan_first,
    )


def _merged(task: Limits, run: Limits) -> Limits:
    """A task's own limits over the run's."""
    given = {name: limit for name, limit in asdict(task).items() if limit is not None}
    return replace(run, **given)


class Schemas:
    """Tool schemas as they are offered; one list for all tasks that offer the same, so a million tasks share it."""

    def __init__(self, toolbox: Toolbox) -> None:
        self.specs = {spec.name: spec for spec in (*toolbox.specs, FINISH_SPEC)}
        self._default = [self.specs[name].schema() for name in toolbox.offered]
        self._named: dict[tuple[str, ...], list[dict[str, Any]]] = {}

    def of(self, tools: tuple[str | dict[str, Any], ...] | None) -> list[dict[str, Any]]:
        """What a task with this column `tools` offers its model."""
        if tools is None:
            return self._default
        names = tuple(tool for tool in tools if isinstance(tool, str))
        if len(names) < len(tools):
            return [self.specs[tool].schema() if isinstance(tool, str) else tool for tool in tools]
        if names not in self._named:
            self._named[names] = [self.specs[name].schema() for name in names]
        return self._named[names]
