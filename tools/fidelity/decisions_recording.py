"""What a real scheduler was given and what it decided, as the hook has written it or as it is kept: compact, in a gzip file."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from concur_batch.sim.call import Call
from concur_batch.sim.options import ServerOptions
from concur_batch.sim.replay import Arrival, Kind
from concur_batch.sim.runs import Run

Event = dict[str, Any]
UNSAID = "\0"
FIRST = 32  # token id 0 as a character: one that JSON need not escape


class Admitted(NamedTuple):
    """A request in a prefill batch."""

    rid: str
    cached: int
    new: int


class Pool(NamedTuple):
    """As it was when a prefill batch had got its slots, and the ratio of new tokens that the batch was made with."""

    free: int
    evictable: int
    ratio: float


class Batch(NamedTuple):
    """One iteration: a prefill batch and what was left of the pool, or `decoding` requests that got a token each."""

    admitted: tuple[Admitted, ...] = ()
    pool: Pool | None = None
    decoding: int = 0


@dataclass(slots=True)
class Recording:
    """One server's. `retracted`: victims with the iteration before which they lost their KV, in order."""

    engine: dict[str, Any]
    arrivals: list[Arrival] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    retracted: list[tuple[int, str]] = field(default_factory=list)
    ended: list[tuple[int, str]] = field(default_factory=list)

    @property
    def options(self) -> ServerOptions:
        """To start a simulated server with the same."""
        return ServerOptions(**{key: value for key, value in self.engine.items() if key in ServerOptions.__slots__})


def read(path: Path) -> Recording:
    """Of a file that `compact` has written."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        events = [json.loads(line) for line in file]
    ends = {event["end"]: event for event in events if "end" in event}
    texts: dict[str, str] = {}  # prompt and output
    recording = Recording(events[0]["engine"])
    standing = True  # and so starts when it has taken in all that is there, not with the first of it

    def came(kind: Kind, *, call: Call | None = None, name: str = "") -> None:
        arrivals, done = recording.arrivals, len(recording.batches)
        if standing and not (arrivals and arrivals[-1].iteration == done and not arrivals[-1].underway):
            arrivals.append(Arrival(iteration=done, underway=False, kind="pause", name="in_place"))
        arrivals.append(Arrival(iteration=done, underway=not standing, kind=kind, call=call, name=name))

    for event in events[1:]:
        if standing and {"prefill", "decode"} & event.keys():
            came("resume")
            standing = False
        match event:
            case {"add": rid}:
                base, shared, text = event["prompt"]
                prompt = (texts[base][:shared] if base else "") + text
                texts[rid] = prompt + (ends[rid]["output"] if rid in ends else "")
                came("add", call=_call(event, prompt, ends.get(rid)))
            case {"abort": rid}:
                came("abort", name=rid)
            case {"close": session}:
                came("close", name=session)
            case {"retract": rids}:
                recording.retracted += [(len(recording.batches), rid) for rid in rids]
            case {"end": rid}:
                recording.ended.append((len(recording.batches), rid))
            case {"prefill": parts}:
                recording.batches.append(Batch(tuple(Admitted(*part) for part in parts), Pool(*event["pool"])))
            case {"decode": size, "steps": steps}:
                recording.batches += [Batch(decoding=size)] * steps
            case {"idle": _}:
                standing = True
    return recording


def _call(event: Event, prompt: str, end: Event | None) -> Call:
    output = end["output"] if end else ""
    if not end or end["reason"] == "abort":  # it would have gone on
        output = output.ljust(event["max_new"], UNSAID)
    return Call(
        rid=event["add"],
        prompt=[Run(prompt, 0, len(prompt), 1.0)],
        output=[Run(output, 0, len(output), 1.0)] if output else [],
        max_new_tokens=event["max_new"],
        ignore_eos=event["ignore_eos"],
        priority=event.get("priority") or 0,
        session=event.get("session"),
    )


def compact(raw: Path, path: Path) -> None:
    """Rewrite what the hook has written: prompts as what they add to an earlier text, decode steps of one batch together."""
    texts: dict[str, str] = {}
    with raw.open(encoding="utf-8") as file, gzip.open(path, "wt", encoding="utf-8") as out:
        decode: Event | None = None
        for line in file:
            event = json.loads(line)
            if "decode" in event:
                if decode is None or decode["decode"] != len(event["decode"]):
                    _write(out, decode)
                    decode = {"decode": len(event["decode"]), "steps": 0}
                decode["steps"] += 1
                continue
            _write(out, decode)
            decode = None
            if "prefill" in event:
                event = {"prefill": event["prefill"], "pool": [event["free"], event["evictable"], round(event["ratio"], 9)]}
            elif "add" in event:
                event["prompt"] = _after(texts, _text(event["prompt"]))
                texts[event["add"]] = _whole(texts, event["prompt"])
            elif "end" in event:
                event["output"] = _text(event["output"])
                texts[event["end"]] += event["output"]
            _write(out, event)
        _write(out, decode)


def _write(out: Any, event: Event | None) -> None:
    if event is not None:
        out.write(json.dumps(event, separators=(",", ":")) + "\n")


def _text(ids: list[int]) -> str:
    return "".join(chr(FIRST + token) for token in ids)


def _after(texts: dict[str, str], prompt: str) -> tuple[str, int, str]:
    """The text of which it shares most, how much of it, and the rest."""
    best, most = "", 0
    for rid, text in texts.items():
        if most < len(prompt) and text[: most + 1] == prompt[: most + 1]:
            while most < min(len(text), len(prompt)) and text[most] == prompt[most]:
                most += 1
            best = rid
    return best, most, prompt[most:]


def _whole(texts: dict[str, str], prompt: tuple[str, int, str]) -> str:
    base, shared, rest = prompt
    return (texts[base][:shared] if base else "") + rest
