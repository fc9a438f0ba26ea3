"""Records without what agents said and saw: a quarter of the work to read, and the fold comes to the same.

Left out are the fields that no state keeps. A tool call that failed is read whole: what it said is kept.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any, get_args

import msgspec

from concur_batch import records as r
from concur_batch.state import RunState

_OF_TOKENS = ("logprobs", "prompt_token_ids", "response_token_ids")
_LEFT_OUT: dict[type[r.Record], tuple[str, ...]] = {
    r.RolloutStarted: ("v", "messages", "metadata", "target", "task", "k", "index", "seed", "agent", "model"),
    r.ReplyReceived: ("v", "hash", "base", "new", "message", "finish_reason", "after", *_OF_TOKENS),
    r.ToolStarted: ("v", "hash", "call_id", "repeatable"),
    r.ToolFinished: ("v", "output", "message", "call_id", "repaired", "truncated", "error_class"),
}


def _slim(full: type[r.Record], left_out: tuple[str, ...]) -> type[Any]:
    fields: list[Any] = []
    for field in msgspec.structs.fields(full):
        if field.name in left_out:
            continue
        if field.default_factory is not msgspec.NODEFAULT:
            default: tuple[Any, ...] = (msgspec.field(default_factory=field.default_factory),)
        else:
            default = () if field.required else (field.default,)
        fields.append((field.name, field.type, *default))
    tag = full.__struct_config__.tag
    return msgspec.defstruct(f"Slim{full.__name__}", fields, tag_field="kind", tag=tag, kw_only=True, gc=False)


SLIM = {full: _slim(full, left_out) for full, left_out in _LEFT_OUT.items()}
_TOOL_FINISHED = SLIM[r.ToolFinished]
_kinds = reduce(or_, (SLIM.get(kind, kind) for kind in get_args(r.AnyRecord)))
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_kinds)


def decode_lines(block: bytes) -> list[Any]:
    """The records of whole lines, as a `SlimState` takes them. Raises what the decoder raises at the first broken one."""
    records: list[Any] = _decoder.decode_lines(block)
    failed = [at for at, record in enumerate(records) if type(record) is _TOOL_FINISHED and not record.ok]
    if failed:
        lines = [line for line in block.split(b"\n") if line.strip()]
        for at in failed:
            records[at] = r.decoder.decode(lines[at])
    return records


class SlimState(RunState):
    """A `RunState` that takes slim records too."""

    def __init__(self) -> None:
        super().__init__()
        self._apply.update({slim: self._apply[full] for full, slim in SLIM.items()})
