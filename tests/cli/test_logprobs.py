"""Log probabilities from a server over HTTP into the results of a run."""

import json

import pyarrow.parquet as pq
from aiohttp import web
from forked import concur
from test_engines_that_fail import Server

CALL = {"id": "c1", "type": "function", "function": {"name": "shell", "arguments": '{"command": "echo 42"}'}}


def logprobs(token):
    top = [{"token": token, "logprob": -0.1, "bytes": None}, {"token": "é", "logprob": -9999.0, "bytes": [195, 169]}]
    return {"content": [{"token": token, "logprob": -0.1, "bytes": None, "top_logprobs": top}], "refusal": None}


def test_what_a_row_asks_for_is_kept(tmp_path):
    asked = []

    async def answer(request, _):
        asked.append(body := await request.json())
        first = len(body["messages"]) == 1
        message = (
            {"role": "assistant", "content": None, "tool_calls": [CALL]} if first else {"role": "assistant", "content": "42"}
        )
        told = logprobs("call" if first else "42") if body.get("logprobs") else None
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": told}
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 1}})

    rows = [
        {"id": "with", "prompt": "x", "tools": ["shell"], "sampling": {"logprobs": True, "top_logprobs": 2}},
        {"id": "without", "prompt": "x", "tools": ["shell"]},
    ]
    (tmp_path / "job.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with Server(answer) as server:
        ran = concur(
            "run", "job.jsonl", "--engine", server.url, "--out", "out", "--no-live", "--output-format", "openai", cwd=tmp_path
        )
    assert ran.returncode == 0, ran.stderr
    kept, none = pq.read_table(tmp_path / "out" / "results.parquet").to_pylist()
    assert [json.loads(call) for call in kept["logprobs"]] == [logprobs("call"), logprobs("42")]
    assert none["logprobs"] is None
    lines = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert [line["response"]["body"]["choices"][0]["logprobs"] for line in lines] == [logprobs("42"), None]
    assert not any("logprobs" in message for body in asked for message in body["messages"])
    shown = [json.loads(line) for line in concur("results", "out", "--json", cwd=tmp_path).stdout.splitlines()]
    assert not any({"messages", "logprobs"} & set(row) for row in shown)
