"""Agent traces as tasks whose scripts replay them: the shipped agent, given counted tokens in place of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from concur_batch.sim.tokens import marker
from concur_batch.sim.workload import AgentTrace
from concur_batch.task import Message, ScriptedTurn, Task

TOOL = "wait"
"""The one tool that scripts call: takes `seconds`, gives an observation of `tokens` tokens."""


def tasks(traces: Iterable[AgentTrace], *, prefix: str = "agent") -> Iterator[Task]:
    """One task per trace, in order, `agent-00000` and so on; made as they are drawn.

    The id goes into the first prompt, so that two agents of the same trace share its shared part and nothing else.
    """
    for index, trace in enumerate(traces):
        name = f"{prefix}-{index:05d}"
        yield Task(
            id=name,
            index=index,
            source=name,
            messages=_messages(trace, name),
            tools=(TOOL,),
            script=tuple(_script(trace)),
            expected_tokens=trace.expected_tokens,
            metadata={"tags": trace.group} if trace.group else {},
        )


def _messages(trace: AgentTrace, name: str) -> tuple[Message, ...]:
    private = trace.prompt_tokens - trace.shared_tokens
    messages: list[Message] = []
    if trace.shared_tokens:
        messages.append({"role": "system", "content": marker(trace.shared_tokens, f"shared{trace.group}")})
    if private:
        messages.append({"role": "user", "content": marker(private, name)})
    return tuple(messages)


def _script(trace: AgentTrace) -> Iterator[ScriptedTurn]:
    for output, seconds, tokens in zip(trace.outputs, trace.tool_seconds, trace.observations, strict=False):
        call = {"name": TOOL, "arguments": {"seconds": seconds, "tokens": tokens}}
        yield ScriptedTurn(tokens=output, tool_calls=(call,))
    yield ScriptedTurn(tokens=trace.outputs[-1])
