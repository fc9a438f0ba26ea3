"""Turns of conversations on the real SGLang server: what the cache has of them, and what tokens they were."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from batch import AGENTS, RUN_S, chat
from serving import serving

from concur_batch import records as r

pytestmark = pytest.mark.sglang

END_OF_TURN = 100
KEPT = {"return_token_ids": True, "logprobs": True}


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("turns")) as server:
        yield server


def test_a_turn_more_finds_the_turns_before_in_the_cache(standing):
    messages = [{"role": "user", "content": "Tell me what you see. " * 20}]
    first = chat(standing.url, messages)
    messages += [first["choices"][0]["message"], {"role": "user", "content": "And then?"}]
    second = chat(standing.url, messages)

    seen = first["usage"]["prompt_tokens"] + first["usage"]["completion_tokens"]
    assert first["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] == seen - 1  # the last token was never put into the cache


def text(ids):
    """One token is one ASCII character; those from 97 on are no text."""
    return "".join(chr(32 + one) if one < 95 else "\n\t"[one - 95] if one < 97 else "" for one in ids)


def test_the_tokens_that_the_model_saw_and_generated_are_in_the_results(standing, tmp_path):
    """Each call's as many as the server counted, and one log probability for each that was generated, also for the end of a turn."""
    rows = [
        {"id": "long", "prompt": "x", "sampling": KEPT},
        {"id": "ends", "prompt": "x", "sampling": KEPT | {"logit_bias": {str(END_OF_TURN): 100}}},
        {"id": "prompts", "prompt": "x", "extra_body": {"return_prompt_token_ids": True}},
        {"id": "none", "prompt": "x"},
    ]
    job, out = tmp_path / "job.jsonl", tmp_path / "run"
    job.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [Path(sys.executable).with_name("concur"), "run", job, "--engine", standing.url, "--out", out, "--no-live"]
    command += ["--agent", f"{AGENTS}:tell", "--tools", AGENTS]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=RUN_S, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = {row["id"]: row for row in pq.read_table(out / "results.parquet").to_pylist()}

    counts = {name: [] for name in found}
    for segment in (out / "journal").glob("*.jsonl"):
        for x in map(r.decoder.decode, segment.read_bytes().splitlines()):
            if isinstance(x, r.ReplyReceived):
                counts[x.rollout.partition("#")[0]].append((x.prompt_tokens, x.completion_tokens))
    assert {len(calls) for calls in counts.values()} == {2}

    for name in ("long", "ends"):
        row = found[name]
        prompts, responses = row["prompt_token_ids"], row["response_token_ids"]
        assert [(len(prompt), len(response)) for prompt, response in zip(prompts, responses, strict=True)] == counts[name]
        told = [json.loads(call)["content"] for call in row["logprobs"]]
        for response, tokens in zip(responses, told, strict=True):
            assert [text([one]) for one in response if one < 97] == [item["token"] for item in tokens][: len(text(response))]
            assert len(response) == len(tokens)
            assert all(item["logprob"] <= 0 for item in tokens)
        replies = [message["content"] for message in json.loads(row["messages"]) if message["role"] == "assistant"]
        assert [text(response) for response in responses] == replies
        assert all(f"{name}: tell a long story. " in text(prompt) for prompt in prompts)
        assert prompts[1][: len(prompts[0])] == prompts[0]
    assert found["ends"]["response_token_ids"] == [[END_OF_TURN]] * 2

    assert [len(prompt) for prompt in found["prompts"]["prompt_token_ids"]] == [prompt for prompt, _ in counts["prompts"]]
    assert found["prompts"]["response_token_ids"] is None
    assert [found["none"][name] for name in ("prompt_token_ids", "response_token_ids", "logprobs")] == [None] * 3
