"""One rollout as the viewer shows it: what was said and done in order, with what each step cost. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from concur_batch import records as r
from concur_batch.report.chosen import Chosen
from concur_batch.report.tidy import NAME_CHARS, clipped, moment, named
from concur_batch.results.lineage import Lineage, held
from concur_batch.results.spoken import as_json, call_of, said_in, text_of
from concur_batch.results.transcript import observation
from concur_batch.task import Message

HEAD_CHARS, TAIL_CHARS = 8_000, 3_000  # of one text; what lies between is left out
MOST_CHARS = 160_000  # of one trajectory; later texts are then cut short
SHORT_CHARS = 400
MOST_CALLS = 60  # of one message

Item = dict[str, Any]


def trajectory(chosen: Chosen, records: Iterable[r.Record]) -> dict[str, Any]:
    """`head` (facts), `items` (messages in journal order) and `left_out` (records); texts are cut, and say by how much."""
    records = held(records)
    told = _Told(Lineage(records))
    for record in records:
        if isinstance(record, r.RolloutStarted):
            told.start(record)
        elif isinstance(record, r.ReplyReceived):
            told.reply(record)
        elif isinstance(record, r.ToolFinished):
            told.tool(record)
        elif isinstance(record, r.CallFailed):
            told.add("failed call", record.message, note=f"step {record.step}: {record.error}", bad=True)
        elif isinstance(record, r.RolloutFinished):
            told.end(record)
    head = {"id": named(chosen.rollout), "status": chosen.status} | told.head
    return {"head": head, "items": told.items, "left_out": chosen.left_out}


class _Told:
    def __init__(self, lineage: Lineage) -> None:
        self.head: dict[str, Any] = {}
        self.items: list[Item] = []
        self._prompt: list[tuple[Message, list[Item]]] = []  # with what tells each, until a call says what was sent
        self._lineage = lineage
        self._room = MOST_CHARS

    def start(self, record: r.RolloutStarted) -> None:
        facts = {"engine": record.engine, "model": record.model, "agent": record.agent}
        self.head |= {name: clipped(text) for name, text in facts.items()} | {"seed": record.seed, "attempt": record.attempt}
        for name, value in (("target", record.target), ("metadata", record.metadata)):
            if value:
                self.head[name] = clipped(value if isinstance(value, str) else as_json(value), 2_000)
        for message in record.messages:
            first = len(self.items)
            self._message(message)
            self._prompt.append((message, self.items[first:]))

    def reply(self, record: r.ReplyReceived) -> None:
        whence, _, how = self._lineage.note(record).partition(": ")
        if whence:
            self.add(whence, "", note=how)
        if record.after == 0:
            self._mark_unsent(record)
        for new in record.new:
            if not isinstance(new, int):  # else an observation, which has been told already
                self._message(new)
        cached = ""
        if record.cached_tokens is not None and record.prompt_tokens:
            cached = f", {100 * record.cached_tokens / record.prompt_tokens:.0f} % cached"
        missed = f", {record.missed_tokens:,} computed again" if record.missed_tokens else ""
        retries = f", {record.retries} {'retry' if record.retries == 1 else 'retries'}" if record.retries else ""
        waited = f", waited {record.wait_s:.1f} s" if record.wait_s >= 0.05 else ""
        call = f"call {record.n}, " if self._lineage.is_named(record.n) else ""
        note = (
            f"{call}step {record.step}: {record.prompt_tokens:,} prompt tokens{cached}{missed}, "
            f"{record.completion_tokens:,} generated in {record.model_s:.2f} s{waited}{retries}"
        )
        self._message(record.message, note)

    def _mark_unsent(self, first: r.ReplyReceived) -> None:
        """An agent of one's own may have sent something else than the task's prompt."""
        for message, items in self._prompt[first.base :]:
            if message in first.new:  # told with this call, behind other messages
                self.items = [item for item in self.items if all(item is not own for own in items)]
            for item in items:
                item["role"], item["note"] = f"the task's prompt ({item['role']})", "was not sent"
        self._prompt = []

    def tool(self, record: r.ToolFinished) -> None:
        message = observation(record)
        failed = "" if record.ok else f", failed ({record.error_class or 'error'})"
        note = f"{clipped(record.tool, 80)}: {record.seconds:.2f} s{failed}"
        self._message(message, note, bad=not record.ok)

    def end(self, record: r.RolloutFinished) -> None:
        self.head |= {
            "finish_reason": record.finish_reason,
            "steps": record.n_steps,
            "prompt_tokens": record.prompt_tokens,
            "generated_tokens": record.completion_tokens,
            "wall_s": moment(record.wall_s),
        }
        if record.error is not None:
            self.head["error"] = f"{record.error.error_class}: {clipped(record.error.message, 4_000)}"

    def _message(self, message: Message, note: str = "", *, bad: bool = False) -> None:
        role = clipped(str(message.get("role", "?")), 40)
        thought = message.get("reasoning_content") or message.get("reasoning")
        if thought:
            self.add("reasoning", text_of(thought))
        calls = [_call(call) for call in _list(message.get("tool_calls"))[:MOST_CALLS]]
        self.add(role, said_in(message), note=note, bad=bad, calls=calls)

    def add(self, role: str, text: str, *, note: str = "", bad: bool = False, calls: list[tuple[str, str]] | None = None) -> None:
        item: Item = {"role": role}
        self._put(item, text)
        if note:
            item["note"] = note
        if bad:
            item["bad"] = True
        if calls:
            item["calls"] = []
            for name, arguments in calls:
                call: Item = {"name": name}
                self._put(call, arguments)
                item["calls"].append(call)
        self.items.append(item)

    def _put(self, item: Item, text: str) -> None:
        """The text as far as there is room."""
        head, tail = (HEAD_CHARS, TAIL_CHARS) if self._room > 0 else (SHORT_CHARS, 0)
        if len(text) > head + tail + 100:
            item["text"] = text[:head]
            item["cut"] = len(text) - head - tail
            if tail:
                item["tail"] = text[-tail:]
        else:
            item["text"] = text
        self._room -= min(len(text), head + tail)


def _call(call: Any) -> tuple[str, str]:
    name, arguments = call_of(call)
    return clipped(name, NAME_CHARS), arguments if isinstance(arguments, str) else as_json(arguments)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
