"""What a rollout is run with, and what it has spent."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from concur_batch import records as r
from concur_batch.agent.past import Call, PastCall
from concur_batch.errors import AgentError
from concur_batch.task import Limits, Task
from concur_batch.toolbox.base import ToolSpec

_SCHEMA = '{"type": "function", "function": {"name": ..., "parameters": ...}}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a rollout is run with; made by the runner."""

    task: Task
    rollout: str
    seed: int
    model: str  # "": what the engine serves
    begun_with: str = ""  # the model of an earlier segment, where none is named: asked for again by an engine that may have it
    sampling: dict[str, Any]
    limits: Limits
    offered: list[dict[str, Any]]  # schemas of the tools that a model call offers unless told otherwise
    offered_names: frozenset[str]
    specs: Mapping[str, ToolSpec]
    plan_first: bool = False

    def schemas(self, tools: Iterable[str | dict[str, Any]]) -> list[dict[str, Any]]:
        """Of tools that a call names or brings. Raises AgentError for a name that there is not."""
        unknown = [tool for tool in tools if isinstance(tool, str) and tool not in self.specs]
        if unknown:
            raise AgentError(f"complete(tools=...): no tool is named {unknown[0]!r}; known: {', '.join(self.specs)}")
        return [self.specs[tool].schema() if isinstance(tool, str) else tool for tool in tools]


def listed(tools: Iterable[str | dict[str, Any]]) -> list[str | dict[str, Any]]:
    """What a call gives as its tools. Raises AgentError where this is no list of names and schemas with names."""
    if isinstance(tools, str | dict) or not isinstance(tools, Iterable):
        raise AgentError(f"complete(tools=...): give a list of names and schemas, not a {type(tools).__name__}")
    given = list(tools)
    for tool in given:
        if not isinstance(tool, str) and not _is_schema(tool):
            raise AgentError(f"complete(tools=...): {reprlib.repr(tool)} is no tool; give its name or {_SCHEMA}")
    return given


def _is_schema(tool: object) -> bool:
    function = tool.get("function") if isinstance(tool, dict) else None
    return isinstance(function, dict) and isinstance(function.get("name"), str)


def names_of(tools: Iterable[str | dict[str, Any]]) -> frozenset[str]:
    """The names in a list of names and schemas."""
    return frozenset(tool if isinstance(tool, str) else tool["function"]["name"] for tool in tools)


@dataclass(slots=True)
class Spent:
    """Sums over all calls of the rollout, also those answered from the journal. Tokens and seconds."""

    steps: int = 0
    prompt_tokens: int = 0
    cached_tokens: int | None = None
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    model_s: float = 0.0
    tool_s: float = 0.0
    wait_s: float = 0.0
    retry_s: float = 0.0
    paused_s: float = 0.0
    finish_reason: str | None = None  # of the last reply, by the calls' numbers
    newest: int = 0  # number of that call
    cut_off: r.CutOff = field(default_factory=r.CutOff)  # of these sums, what no call's record tells

    def reply(self, x: r.ReplyReceived) -> None:
        """One more step."""
        self.steps += 1
        self.prompt_tokens += x.prompt_tokens
        self.completion_tokens += x.completion_tokens
        self.reasoning_tokens += x.reasoning_tokens
        if x.cached_tokens is not None:
            self.cached_tokens = (self.cached_tokens or 0) + x.cached_tokens
        self.model_s += x.model_s
        self.wait_s += x.wait_s
        self.retry_s += x.retry_s
        if x.n >= self.newest:
            self.newest, self.finish_reason = x.n, x.finish_reason

    def tool(self, x: r.ToolFinished) -> None:
        """A tool call that came back."""
        self.tool_s += x.seconds
        self.wait_s += x.wait_s

    def failed(self, x: r.CallFailed) -> None:
        """A call that came to nothing."""
        self.wait_s += x.wait_s
        self.retry_s += x.retry_s

    def call_cut_off(self, seconds: float, *, wait_s: float, retry_s: float) -> None:
        """A model call to which no end came. Should the rollout end here, its last record tells of it; else the call is made again."""
        model_s = max(0.0, seconds - wait_s - retry_s)
        for sums in (self, self.cut_off):
            sums.model_s += model_s
            sums.wait_s += wait_s
            sums.retry_s += retry_s

    def tool_cut_off(self, seconds: float) -> None:
        """A tool call that did not come back, likewise; what of it was waiting is not known."""
        self.tool_s += seconds
        self.cut_off.tool_s += seconds

    def past(self, call: Call) -> None:
        """A call of an earlier segment that the agent has not made again."""
        match call:
            case r.ReplyReceived():
                self.reply(call)
            case r.CallFailed():
                self.failed(call)
            case PastCall(finished=r.ToolFinished() as finished):
                self.tool(finished)
            case _:  # interrupted
                pass
