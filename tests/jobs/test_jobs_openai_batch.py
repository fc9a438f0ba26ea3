import json

import pytest

from concur_batch.jobs.openai_batch import body_fields, from_batch_line, in_body
from concur_batch.jobs.schema import RowSchema, SchemaOptions

MESSAGES = [{"role": "user", "content": "x"}]


def line(**changes):
    body = {
        "model": "m",
        "messages": MESSAGES,
        "temperature": 0.5,
        "max_tokens": 9,
        "n": 2,
        "seed": 4,
        "stream": False,
        "tools": None,
    }
    return {"custom_id": "r-1", "method": "POST", "url": "/v1/chat/completions", "body": body, **changes}


def check(row):
    return RowSchema(SchemaOptions(strict=True)).task(row, 0, "j:1", lambda *_: "")


def test_the_body_is_mapped_to_our_columns():
    task = check(line(limits={"max_steps": 1}, script=["y"]))
    assert (task.id, task.model, list(task.messages), task.n, task.seed) == ("r-1", "m", MESSAGES, 2, 4)
    assert task.sampling == {"temperature": 0.5, "max_tokens": 9}
    assert task.limits.max_steps == 1
    assert task.script


def test_a_body_may_be_json_text_as_in_tables():
    told = line()
    assert check(line(body=json.dumps(told["body"]))) == check(told)
    (fault,) = check(line(body='{"messages": [{"role": "x"}]}'))
    assert fault.field == "body.messages.0.role"
    assert "body" in [fault.field for fault in check(line(body='{"messages": '))]


def test_it_is_the_same_task_as_a_row_of_ours():
    ours = {"id": "a", "model": "m", "messages": MESSAGES, "sampling": {"temperature": 0.5, "max_tokens": 9}, "seed": 4}
    assert check(line()).fingerprint == check(ours).fingerprint


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (line(url="/v1/embeddings"), "url: should be /v1/chat/completions; other endpoints are not run"),
        (line(method="GET"), "method: should be POST"),
        (line(model="other"), "body.model: stands both in the line and in its body; give one of the two"),
        (line(body={"messages": [{"role": "user"}, {"role": "x"}]}), 'body.messages.1.role: is "x"; should be'),
        (line(body={"messages": MESSAGES, "temperature": "hot"}), 'body.temperature: is "hot"; should be a number'),
        (line(body={"messages": MESSAGES, "stream": True}), "body.stream: does not belong here"),
        (line(body={"messages": MESSAGES, "extra_body": {"n": 2}}), "body.extra_body.n: does not belong here"),
        (line(body={"messages": MESSAGES, "tools": ["no"]}), "body.tools.0: there is no tool"),
    ],
)
def test_faults_name_the_field_in_the_body(row, fault):
    (found,) = check(row)
    assert f"{found.field}: {found.text}".startswith(fault)


def test_a_body_that_is_no_object_is_told():
    assert "body: should be an object, the request to be made, or its JSON text" in [
        f"{fault.field}: {fault.text}" for fault in check(line(body="x"))
    ]


def test_sampling_stands_in_the_body_only():
    _, faults = from_batch_line(line(sampling={"top_p": 1}))
    assert [field for field, _ in faults] == ["sampling"]


def test_fields_of_other_rows_keep_their_names():
    assert in_body("sampling.top_p", frozenset()) == "sampling.top_p"
    assert in_body("sampling.top_p", body_fields(line())) == "body.top_p"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (line(body={"model": "m"}), ["body.messages: is missing; should be given"]),
        (line(body="x"), ["body: should be an object, the request to be made, or its JSON text"]),
        (
            {"url": "/v1/chat/completions", "body": {"messages": MESSAGES}},
            [
                "url: is not known; what is to be passed through belongs in metadata",
                "body: is not known; what is to be passed through belongs in metadata",
                "custom_id: is missing; a line of an OpenAI batch file needs one beside its body",
            ],
        ),
    ],
)
def test_a_conversation_that_is_missing_is_missed_where_it_belongs(row, told):
    assert [f"{fault.field}: {fault.text}" for fault in check(row)] == told
