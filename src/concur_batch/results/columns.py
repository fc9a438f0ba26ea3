"""The columns of `results.parquet`, and a row's cells in them and back. Schema for people: `docs/results.md`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pyarrow as pa

from concur_batch.results.rows import ResultRow, Times, Usage
from concur_batch.results.table import MOMENT, Columns

TOKEN_IDS = pa.list_(pa.list_(pa.int32()))  # one list per model call

COLUMNS: Columns = [
    ("id", pa.string()),
    ("rollout", pa.int64()),
    ("attempt", pa.int64()),
    ("status", pa.string()),
    ("finish_reason", pa.string()),
    ("output", pa.string()),
    ("n_steps", pa.int64()),
    (
        "usage",
        pa.struct([(name, pa.int64()) for name in Usage.__struct_fields__]),
    ),
    ("context_tokens", pa.int64()),
    ("error", pa.struct([("class", pa.string()), ("message", pa.string()), ("retryable", pa.bool_())])),
    (
        "times",
        pa.struct([(name, pa.float64()) for name in Times.__struct_fields__]),
    ),
    ("model", pa.string()),
    ("endpoint", pa.string()),
    ("seed", pa.int64()),
    ("agent", pa.string()),
    ("started_at", MOMENT),
    ("finished_at", MOMENT),
    ("messages", pa.string()),  # JSON, as the tools of different tasks share no Arrow type
    ("logprobs", pa.list_(pa.string())),  # JSON, one per model call
    ("prompt_token_ids", TOKEN_IDS),
    ("response_token_ids", TOKEN_IDS),
    ("target", pa.string()),  # JSON
    ("metadata", pa.string()),  # JSON
]
WORDS = ["status", "finish_reason", "model", "endpoint", "agent", "error.class"]
LATER = ("context_tokens", "logprobs", "prompt_token_ids", "response_token_ids")  # columns that older versions did not write
_ID_BYTES = 32  # what one takes while it is held
_AS_JSON = ("messages", "target", "metadata")
_encode = msgspec.json.Encoder().encode


def cells(row: ResultRow) -> tuple[dict[str, Any], int]:
    """The row as Parquet holds it, and the bytes of its long texts and lists."""
    found = {name: getattr(row, name) for name, _ in COLUMNS}
    messages, metadata = _encode(row.messages).decode(), _encode(row.metadata).decode()
    target = None if row.target is None else _encode(row.target).decode()
    logprobs = None if row.logprobs is None else [None if one is None else _encode(one).decode() for one in row.logprobs]
    found |= {
        "messages": messages,
        "logprobs": logprobs,
        "target": target,
        "metadata": metadata,
        "usage": msgspec.to_builtins(row.usage),
        "times": msgspec.to_builtins(row.times),
        "error": msgspec.to_builtins(row.error),
    }
    ids = sum(len(one or ()) for calls in (row.prompt_token_ids, row.response_token_ids) for one in calls or ())
    texts = (messages, metadata, target, row.output, row.error and row.error.message, *(logprobs or ()))
    return found, sum(len(text or "") for text in texts) + _ID_BYTES * ids


def row_of(cells_: dict[str, Any]) -> ResultRow:
    """The row that `cells` was made of; what an older version did not write is None."""
    found = {**dict.fromkeys(LATER), **cells_}
    for name in _AS_JSON:
        found[name] = None if found[name] is None else msgspec.json.decode(found[name])
    if found["logprobs"] is not None:
        found["logprobs"] = [None if one is None else msgspec.json.decode(one) for one in found["logprobs"]]
    for name in ("started_at", "finished_at"):
        moment: datetime | None = found[name]
        found[name] = None if moment is None else moment.replace(tzinfo=UTC)
    return msgspec.convert(found, ResultRow)
