"""OpenAI batch lines (`custom_id` + `body`) as rows of ours."""

from __future__ import annotations

from typing import Any

from concur_batch.jobs.row import json_text

_URL = "/v1/chat/completions"
_TO_COLUMN = frozenset({"model", "messages", "tools", "n", "seed", "metadata", "extra_body"})
_ENVELOPE = frozenset({"body", "method", "url"})


def is_batch_line(row: dict[str, Any]) -> bool:
    """Whether this is an OpenAI batch line."""
    return "body" in row and "custom_id" in row


def unpacked(row: dict[str, Any]) -> dict[str, Any]:
    """The same batch line with its body as an object, where it is the JSON text of one, as in tables."""
    try:
        return {**row, "body": json_text(row["body"])}
    except ValueError:
        return row  # `from_batch_line` tells that it is none


def body_fields(row: dict[str, Any]) -> frozenset[str]:
    """Names of the fields in this batch line's body."""
    return frozenset(row["body"]) if type(row["body"]) is dict else frozenset()


def in_body(field: str, body: frozenset[str]) -> str:
    """A column's dotted name as the user finds it in the line, given the `body_fields` of that line (none in other rows)."""
    if not body:
        return field
    if field.startswith("sampling."):
        return f"body.{field.removeprefix('sampling.')}"
    return f"body.{field}" if field.partition(".")[0] in body else field


def from_batch_line(row: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The same task in our columns, and what is wrong with it as (field, text).

    What stands beside `body` (`limits`, `script`, `target`, ...) is kept. All of the body that is not a column of ours is
    sampling, and goes to the engine as it is.
    """
    faults = []
    body = row["body"]
    out = {key: value for key, value in row.items() if key not in _ENVELOPE}
    if row.get("method", "POST") != "POST":
        faults.append(("method", "should be POST"))
    if row.get("url", _URL) != _URL:
        faults.append(("url", f"should be {_URL}; other endpoints are not run"))
    if type(body) is not dict:
        return out, [*faults, ("body", "should be an object, the request to be made, or its JSON text")]
    sampling = {}
    for key, value in body.items():
        if value is None or (key == "stream" and value is False):
            continue
        if key not in _TO_COLUMN:
            sampling[key] = value
        elif out.get(key) is not None:
            faults.append((key, "stands both in the line and in its body; give one of the two"))
        else:
            out[key] = value
    if sampling:
        if out.get("sampling") is not None:
            faults.append(("sampling", "stands beside a body, which holds the sampling itself; put all of it into body"))
        out["sampling"] = sampling
    return out, faults
