"""What the simulated server does otherwise, on purpose, and what the real one does there. docs/fidelity.md has the reasons."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from conformance_client import CHAT, NATIVE, TEXT, chat, native

FLAVOUR = "plain"


class Case(NamedTuple):
    body: Any
    path: str
    sglang: Any  # status, and the part of the answer that differs
    sim: Any


def choices(answer):
    return answer.status, len(answer.json.get("choices", ()))


def status(answer):
    return answer.status


def reason(answer):
    """Of a native stream that the scheduler refuses."""
    (event,) = answer.events
    return "error" if "error" in event else event["meta_info"]["finish_reason"]["type"]


AT_THE_EDGE = native("x" * 16_379, max_new_tokens=1, stream=True)
NO_SESSION = native(stream=True, session_params={"id": "nosuch"})
CASES = {
    "several replies": (choices, Case(chat(n=2), CHAT, (200, 2), (400, 0))),
    "no replies": (status, Case(chat(n=0), CHAT, 400, 400)),
    "several prompts": (choices, Case({"prompt": ["a", "b"], "max_tokens": 2}, TEXT, (200, 2), (400, 0))),
    "a truth value for a number": (status, Case(chat(max_tokens=True), CHAT, 200, 400)),
    "a list of ids": (status, Case(chat(rid=["a"]), CHAT, 500, 400)),
    "too long for a native stream": (reason, Case(AT_THE_EDGE, NATIVE, "abort", "error")),
    "a native stream of no session": (reason, Case(NO_SESSION, NATIVE, "abort", "error")),
}


@pytest.mark.parametrize("name", CASES)
def test_conformance_differences_in_answers(target, name):
    look, case = CASES[name]
    assert look(target.post(case.path, case.body)) == getattr(case, target.kind)


@pytest.mark.parametrize("body", [native() | {"text": ""}, {"input_ids": []}, {"input_ids": [-1]}])
def test_conformance_what_ends_the_real_server_is_refused(target, body):
    """Its scheduler dies of an index that is out of bounds, and the whole server with it."""
    if target.kind == "sglang":
        pytest.skip("the server would not survive it")
    assert target.post(NATIVE, body).status == 400
    assert target.chat()["usage"]["completion_tokens"] == 8


def test_conformance_filler_says_what_it_is(target):
    model = target.chat()["model"]
    assert model == {"sglang": "tiny", "sim": "tiny (simulated filler)"}[target.kind]
    assert target.get("/server_info").json.get("concur_simulator", False) == (target.kind == "sim")


def test_conformance_other_origins_are_not_spoken_of(target):
    """The real server lets pages of any origin ask; it says so with every answer."""
    assert target.get("/ready").headers.get("vary") == {"sglang": "Origin", "sim": None}[target.kind]


def test_conformance_validation_names_the_field_in_words_of_its_own(target):
    message = target.post(CHAT, chat(max_tokens="many")).json["message"]
    expected = {"sglang": "'loc': ('body', 'max_tokens')", "sim": "at `$.max_tokens`"}[target.kind]
    assert expected in message
