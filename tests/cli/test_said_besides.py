"""What a server's replies hold besides content, over HTTP into the conversation, the results and their forms."""

import json

import pytest
from aiohttp import web
from forked import concur
from test_engines_that_fail import Server

CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "shell", "arguments": '{"command": "echo 42"}'},
    "extra_content": {"google": {"thought_signature": "s1gn"}},
}
THINKS = {"role": "assistant", "reasoning": "Let me count.", "tool_calls": [CALL]}
ANSWERS = {"role": "assistant", "content": "42", "reasoning": "So it is."}
REFUSES = {"role": "assistant", "content": "", "refusal": "I will not."}


def run(tmp_path, *messages):
    """What the server was sent, the lines of the export in each form, and the rollout as it is shown."""
    sent = []

    async def answer(request, n):
        sent.append((await request.json())["messages"])
        empty = {"content": None, "refusal": None, "annotations": None, "audio": None, "function_call": None, "reasoning": None}
        choice = {"index": 0, "message": empty | {"tool_calls": []} | messages[n - 1], "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 1}})

    (tmp_path / "job.jsonl").write_text(json.dumps({"id": "t", "prompt": "x", "tools": ["shell"]}))
    with Server(answer) as server:
        ran = concur("run", "job.jsonl", "--engine", server.url, "--out", "out", "--no-live", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    lines = {}
    for form in ("jsonl", "chat", "openai"):
        assert concur("results", "out", "--export", f"{form}.jsonl", "--format", form, cwd=tmp_path).returncode == 0
        lines[form] = json.loads((tmp_path / f"{form}.jsonl").read_text())
    return sent, lines, concur("results", "out", "--open", "t", cwd=tmp_path).stdout


def test_the_reasoning_of_vllm_goes_back_as_it_came(tmp_path):
    sent, lines, shown = run(tmp_path, THINKS, ANSWERS)
    prompt = {"role": "user", "content": "x"}
    assert sent[0] == [prompt]
    assert sent[1][:2] == [prompt, THINKS]
    for form in ("jsonl", "chat"):
        assert lines[form]["messages"] == [*sent[1], ANSWERS]
    assert lines["openai"]["response"]["body"]["choices"][0]["message"] == ANSWERS
    assert "Let me count." in shown
    assert "So it is." in shown


@pytest.mark.parametrize("message", [REFUSES, REFUSES | {"content": None}])
def test_a_refusal_is_the_output(tmp_path, message):
    _, lines, shown = run(tmp_path, message)
    assert (lines["jsonl"]["status"], lines["jsonl"]["output"]) == ("completed", "I will not.")
    assert lines["jsonl"]["messages"][-1] == lines["chat"]["messages"][-1] == REFUSES
    assert lines["openai"]["response"]["body"]["choices"][0]["message"] == REFUSES | {"content": None}
    assert shown.count("I will not.") == 1
