"""Token ids from a server over HTTP into the results of a run."""

import json

import pyarrow.parquet as pq
import pytest
from aiohttp import web
from forked import concur
from test_engines_that_fail import Server

CALL = {"id": "c1", "type": "function", "function": {"name": "shell", "arguments": '{"command": "echo 42"}'}}
ASKED = {"return_token_ids": True}
COLUMNS = {"prompt_token_ids", "response_token_ids"}


def serving(asked):
    """Answers as SGLang does, once with a tool call, and gives the ids where they are asked for."""

    async def answer(request, _):
        asked.append(body := await request.json())
        first = len(body["messages"]) == 1
        message = {"role": "assistant", "content": None if first else "42"} | ({"tool_calls": [CALL]} if first else {})
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if first else "stop"}
        if body.get("return_token_ids"):
            choice |= {"prompt_token_ids": [1, 2] if first else [1, 2, 8, 100, 9], "response_token_ids": [7, 100]}
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 2, "completion_tokens": 2}})

    return Server(answer)


@pytest.mark.parametrize(
    ("row", "options"),
    [
        ({"sampling": ASKED}, ()),
        ({"sampling": {"extra_body": ASKED}}, ()),
        ({"extra_body": ASKED}, ()),
        ({}, ("--set", "sampling.return_token_ids=true")),
        ({}, ("--set", "sampling.extra_body.return_token_ids=true")),
    ],
)
def test_they_are_kept_however_they_are_asked_for(row, options, tmp_path):
    asked = []
    (tmp_path / "job.jsonl").write_text(json.dumps({"id": "a", "prompt": "x", "tools": ["shell"], **row}) + "\n")
    with serving(asked) as server:
        ran = concur("run", "job.jsonl", "--engine", server.url, "--out", "out", "--no-live", *options, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert [body["return_token_ids"] for body in asked] == [True, True]
    assert not any("token_ids" in key for body in asked for message in body["messages"] for key in message)
    (kept,) = pq.read_table(tmp_path / "out" / "results.parquet").to_pylist()
    assert kept["prompt_token_ids"] == [[1, 2], [1, 2, 8, 100, 9]]
    assert kept["response_token_ids"] == [[7, 100], [7, 100]]
    (shown,) = [json.loads(line) for line in concur("results", "out", "--json", cwd=tmp_path).stdout.splitlines()]
    assert not COLUMNS & set(shown)


def test_who_does_not_ask_has_none(tmp_path):
    (tmp_path / "job.jsonl").write_text('{"id": "a", "prompt": "x", "tools": ["shell"]}\n')
    with serving([]) as server:
        ran = concur("run", "job.jsonl", "--engine", server.url, "--out", "out", "--no-live", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    (row,) = pq.read_table(tmp_path / "out" / "results.parquet").to_pylist()
    assert [row[name] for name in sorted(COLUMNS)] == [None, None]
    assert b"token_ids" not in b"".join(path.read_bytes() for path in (tmp_path / "out" / "journal").iterdir())
