"""What is asked for: a task (one row of the job), its limits, its script. Plain data, checked before it gets here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

Message: TypeAlias = dict[str, Any]
"""One chat message in the OpenAI wire form, appended and never rewritten."""

MOST_ROLLOUTS = 1_000_000  # of one task

NOT_SAMPLING = {  # fields of the request body that say nothing of how to sample, and what to do instead
    "messages": "write the column messages",
    "model": "write the column model",
    "tools": "write the column tools",
    "n": "write the column n; each rollout is a request of its own",
    "stream": "leave it out; replies are not streamed",
}
UNASKED = {"stream": (False, None), "n": (1, None)}  # what these may be all the same, since it asks for nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one rollout; reaching one is a status, not an error. None: unbounded."""

    max_steps: int | None = None
    max_output_tokens: int | None = None  # generated, over all steps
    max_total_tokens: int | None = None  # prompt + generated, summed over all model calls
    timeout_s: float | None = None  # seconds, pauses and waits for a lost engine left out
    context_length: int | None = None  # tokens; the model's own if None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedTurn:
    """One assistant turn to be replayed by a simulated engine.

    `tokens` in place of `content`: that many ids, standing behind a short unique marker.
    `tool_calls`: `{"name": str, "arguments": dict | str}` each.
    """

    content: str | None = None
    tool_calls: tuple[dict[str, Any], ...] = ()
    tokens: int | None = None
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One row of the job file, in the form that agents run. `messages` is empty for an agent with a row schema of its own."""

    id: str
    index: int  # position in the job, from 0
    source: str  # "file:line", for messages to people
    messages: tuple[Message, ...] = ()
    fields: dict[str, Any] = field(default_factory=dict)  # the row as written, only where the agent declares a schema
    tools: tuple[str | dict[str, Any], ...] | None = None  # names or OpenAI function schemas; None: all that --tools brings
    agent: str | None = None  # None: the run's default
    model: str | None = None
    sampling: dict[str, Any] = field(
        default_factory=dict
    )  # temperature, top_p, max_tokens, stop, ...; merged into the request body
    limits: Limits = field(default_factory=Limits)
    expected_tokens: int | None = None  # context at the end, where one has an idea of it; None: not known
    n: int | None = None  # rollouts; None: the run's default
    seed: int | None = None  # base seed; rollout k uses seed + k
    target: Any = None
    metadata: dict[str, Any] = field(default_factory=dict)
    script: tuple[ScriptedTurn, ...] | None = None
    fingerprint: str = ""  # 16 hex digits over all that changes what the model sees

    def own(self) -> Task:
        """The same for one rollout, whose agent may change what is in it."""
        return replace(
            self,
            messages=tuple(map(own, self.messages)),
            fields=own(self.fields),
            tools=self.tools and tuple(map(own, self.tools)),
            sampling=own(self.sampling),
            target=own(self.target),
            metadata=own(self.metadata),
        )


def own(value: Any) -> Any:
    """A copy of what JSON holds, down to the texts and numbers in it, which are shared."""
    top = [value]
    copies: list[Any] = [top]
    while copies:  # one by one: a row may be nested more deeply than functions may call themselves
        copy = copies.pop()
        for key, part in copy.items() if isinstance(copy, dict) else enumerate(copy):
            if isinstance(part, dict | list):
                copy[key] = part.copy()
                copies.append(copy[key])
    return top[0]


def rollout_id(task_id: str, k: int) -> str:
    """The name of the k-th rollout of a task in journal and display: `task#k`."""
    return f"{task_id}#{k}"
