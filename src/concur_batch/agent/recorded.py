"""The agent `replay`: a row of a trace as real multi-turn load, to measure a server with. It runs no tool and reads no answer.

Prompts and observations are filler text of the recorded length; replies get the recorded length by `max_tokens` and
`ignore_eos`, which SGLang and vLLM understand; tools are waits of the recorded length. Each observation makes up for what
the conversation is off by so far, so that prompts keep to the recorded lengths also where replies do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator

from concur_batch.agent.context import Context
from concur_batch.agent.wording import Wording
from concur_batch.sim.trace import WrongRow, trace_of
from concur_batch.sim.workload import AgentTrace, scaled
from concur_batch.task import Message, Task

REPLAY = "replay"


class TraceRow(BaseModel):
    """A row of a trace (docs/workloads.md), in place of a prompt."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _is_trace(cls, row: Any) -> Any:
        try:
            trace_of(row)
        except WrongRow as wrong:
            raise ValueError(str(wrong)) from None
        return row


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What is made of the recorded counts."""

    tokens: float = 1.0  # all token counts times this
    time: float = 1.0  # all tool times times this
    shared_tokens: int | None = None  # of each first prompt the same for all agents, before scaling; None: what the row says


class Replay:
    """Implements `agent.base.Agent`. One for all rollouts of a run.

    `wording`: what the server counts (`wording.measure`); set before the first of them, and the same when the run is resumed.
    """

    __concur_schema__: ClassVar[type[BaseModel]] = TraceRow

    def __init__(self, scale: Scale | None = None) -> None:
        self._scale = scale or Scale()
        self.wording: Wording | None = None

    def prompt_tokens(self, task: Task) -> int:
        """Of its first call."""
        return self._trace(task).prompt_tokens

    def _trace(self, task: Task) -> AgentTrace:
        return scaled(trace_of(task.fields, self._scale.shared_tokens), self._scale.tokens, self._scale.time)

    async def __call__(self, task: Task, ctx: Context) -> str | None:
        """The whole conversation. Returns the last reply's text."""
        wording = self.wording
        assert wording is not None
        trace = self._trace(task)
        key = f"{task.id}/{ctx.seed}"  # no other rollout has it
        await ctx.check_room(trace.prompt_tokens)
        messages = _opening(trace, wording, key)
        prompts, returned = trace.prompts(), _Returned()
        for step, output in enumerate(trace.outputs):
            reply = await ctx.complete(messages, tools=[], max_tokens=output, ignore_eos=True, temperature=0)
            returned.came(reply.prompt_tokens)
            messages.append(reply.message)
            if step < len(trace.observations):
                await ctx.call("wait", {"seconds": trace.tool_seconds[step]})
                await ctx.check_room(prompts[step + 1])
                base = reply.prompt_tokens + wording.turn
                missing = prompts[step + 1] - base - returned.of(reply.completion_tokens)
                observation = wording.text(missing, f"{key}/{step}")
                returned.went(base + wording.tokens(observation), reply.completion_tokens)
                messages.append({"role": "user", "content": observation})
        content = messages[-1].get("content")
        return content if isinstance(content, str) else None


class _Returned:
    """How many of a reply's tokens come back with the next prompt: fewer where the server leaves special tokens out of its text,
    others where text is cut into tokens otherwise than it was generated.
    """

    def __init__(self) -> None:
        self._said = self._came = 0.0
        self._others: float | None = None  # tokens of the next prompt without the reply

    def of(self, completion_tokens: int) -> float:
        """An estimate by the replies so far."""
        return completion_tokens * (self._came / self._said if self._said else 1.0)

    def went(self, others: float, completion_tokens: int) -> None:
        """The next prompt has so many tokens besides the reply's."""
        self._others = others
        self._said += completion_tokens

    def came(self, prompt_tokens: int) -> None:
        """What the server counted of it."""
        if self._others is not None:
            self._came += max(0.0, prompt_tokens - self._others)


def _opening(trace: AgentTrace, wording: Wording, key: str) -> list[Message]:
    """The first prompt: what all agents share as the system message, and at least a word of this one's own."""
    if not trace.shared_tokens:
        return [{"role": "user", "content": wording.text(trace.prompt_tokens - wording.user, key)}]
    shared = wording.text(trace.shared_tokens - wording.system, "shared")
    own = wording.text(trace.prompt_tokens - trace.shared_tokens - wording.user, key)
    return [{"role": "system", "content": shared}, {"role": "user", "content": own}]
