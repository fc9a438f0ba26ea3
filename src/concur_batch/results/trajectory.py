"""One rollout as it went, in the order of what happened: the parts that `concur results --open` shows. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from concur_batch import records as r
from concur_batch.results.lineage import Lineage, held
from concur_batch.results.spoken import call_of, said_in, text_of
from concur_batch.results.summary import duration
from concur_batch.task import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A message with its heading, or a note on what happened between two. Texts are as they came, control characters and all."""

    heading: str
    kind: Literal["system", "user", "assistant", "tool", "failed", "note"]
    facts: str = ""
    reasoning: str = ""
    content: str = ""
    calls: tuple[tuple[str, Any], ...] = ()  # of tools: name, and arguments as an object where they are one


def of_records(records: Iterable[r.Record]) -> Iterator[Part]:
    """The parts of one rollout's last attempt, which may not have ended; `records` are its own, in order.

    What of the task's prompt was never sent is told as such: an agent of one's own may say something else.
    """
    records = held(records)
    prompt, lineage = _Prompt(records), Lineage(records)
    running: dict[int, r.ToolStarted] = {}
    said = ""  # by the last model call
    for record in records:
        match record:
            case r.RolloutStarted():
                if record.resumed:
                    yield _note(f"taken up again, on {record.engine}")
                yield from prompt.told()
            case r.ReplyReceived():
                if note := lineage.note(record):
                    yield _note(note)
                if record.after == 0:
                    yield from prompt.sent(record.base)
                said = said_in(record.message)
                yield from (_of_message(message) for message in record.new if not isinstance(message, int))
                yield _of_reply(record, named=lineage.is_named(record.n))
            case r.CallFailed():
                facts = f"step {record.step}: {record.error}"
                yield Part(heading="model call failed", kind="failed", facts=facts, content=record.message)
            case r.ToolStarted():
                running[record.n] = record
            case r.ToolFinished():
                running.pop(record.n, None)
                yield _of_observation(record)
            case r.RolloutPaused() | r.RolloutYielded() | r.RolloutReturned():
                yield _of_pause(record)
            case r.RolloutFinished():
                yield _of_end(record, said)
                return
            case _:
                pass
    yield from (_note(f"{call.tool} (call {call.call_id or call.n}) has not ended") for call in running.values())


def of_messages(messages: Iterable[Message]) -> Iterator[Part]:
    """The parts of a conversation of which no more is known."""
    return (_of_message(message) for message in messages)


class _Prompt:
    """The task's prompt, told once at the start; as sent only what the first call sent of it, as far as there was a call."""

    def __init__(self, records: Iterable[r.Record]) -> None:
        starts = [record for record in records if isinstance(record, r.RolloutStarted) and not record.resumed]
        self._messages = starts[-1].messages if starts else []
        first = next((record for record in records if isinstance(record, r.ReplyReceived) and record.after == 0), None)
        self._sent = len(self._messages) if first is None else min(first.base, len(self._messages))
        self._anew = (
            [] if first is None else first.new
        )  # told with that call, also what of the prompt stands behind other messages
        self._is_told = False

    def told(self) -> Iterator[Part]:
        if self._is_told:
            return
        self._is_told = True
        yield from (_of_message(message) for message in self._messages[: self._sent])
        yield from (_of_unsent(message) for message in self._messages[self._sent :] if message not in self._anew)

    def sent(self, base: int) -> Iterator[Part]:
        """What a further conversation that begins with the prompt sends of it for the first time."""
        yield from (_of_message(message) for message in self._messages[self._sent : base])
        self._sent = max(self._sent, base)


def _of_unsent(message: Message) -> Part:
    part = _of_message(message)
    return replace(part, heading=f"the task's prompt ({part.heading})", kind="note", facts="was not sent")


def _of_reply(x: r.ReplyReceived, *, named: bool) -> Part:
    cached = "" if x.cached_tokens is None else f" ({x.cached_tokens:,} cached)"
    generated = f"{x.completion_tokens:,} token{'s' * (x.completion_tokens != 1)}"
    facts = [f"call {x.n}"] if named else []
    facts += [f"step {x.step}", f"{x.prompt_tokens:,}{cached} + {generated}", _brief(x.model_s)]
    if x.finish_reason not in ("stop", "tool_calls"):
        facts.append(f"ended by {x.finish_reason}")
    if x.retries:
        facts.append(f"{x.retries} {'retry' if x.retries == 1 else 'retries'}")
    return _of_message(x.message, ", ".join(facts))


def _of_observation(x: r.ToolFinished) -> Part:
    facts = [_brief(x.seconds)]
    facts += [word for word, holds in (("truncated", x.truncated), ("arguments repaired", x.repaired)) if holds]
    if x.call_id is not None:
        facts.insert(0, x.call_id)
    if not x.ok:
        facts.append(f"failed ({x.error_class or 'tool'})")
    return Part(heading=x.tool, kind="tool" if x.ok else "failed", facts=", ".join(facts), content=x.output)


def _of_pause(x: r.RolloutPaused | r.RolloutYielded | r.RolloutReturned) -> Part:
    if isinstance(x, r.RolloutPaused):
        return _note(f"paused ({x.reason})")
    if isinstance(x, r.RolloutYielded):
        return _note("gave its slot up during a long tool call")
    return _note(f"{'went on' if x.slot else 'gave up waiting'} after {duration(x.paused_s)}")


def _of_end(x: r.RolloutFinished, said: str) -> Part:
    if x.error is not None:
        facts = f"error of class {x.error.error_class}"
        return Part(heading="failed", kind="failed", facts=facts, content=x.error.message)
    if x.output is None:
        return _note(f"{x.status}, without an output")
    if x.output == said:
        return _note(f"{x.status}, with this as its output")
    return Part(heading=f"{x.status}, with this output:", kind="note", content=x.output)


def _of_message(message: Message, facts: str = "") -> Part:
    role = str(message.get("role"))
    calls = message.get("tool_calls")
    return Part(
        heading=role,
        kind=role if role in ("system", "user", "assistant", "tool") else "user",  # type: ignore[arg-type]  # narrowed by the test
        facts=facts or str(message.get("tool_call_id") or ""),
        reasoning=text_of(message.get("reasoning_content") or message.get("reasoning")),
        content=said_in(message),
        calls=tuple(_call(one) for one in calls) if isinstance(calls, list) else (),
    )


def _call(call: Any) -> tuple[str, Any]:
    name, arguments = call_of(call)
    try:
        parsed = json.loads(arguments)
    except (TypeError, ValueError, RecursionError):
        return name, arguments
    return name, parsed if isinstance(parsed, dict) else arguments


def _brief(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else duration(seconds)


def _note(text: str) -> Part:
    return Part(heading=text, kind="note")
