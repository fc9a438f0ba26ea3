import pytest
from journals import EPOCH, end, reply, start, tool
from openai.types.chat import ChatCompletion

from concur_batch import records as r
from concur_batch.results.index import Trace
from concur_batch.results.openai_batch import batch_line
from concur_batch.results.rows import result_row


def line(*records):
    return batch_line(result_row("a#0", Trace(index=0, k=0, started=EPOCH, finished=EPOCH + 9), records))


def test_a_completed_rollout_is_a_chat_completion():
    call = reply("a#0", 1, base=1, calls=["c"])
    finish = end(
        "a#0", finish_reason="tool_calls", output="done", n_steps=1, prompt_tokens=10, completion_tokens=2, cached_tokens=4
    )
    answer = line(start("a#0"), call, tool("a#0", 2, call_id="c"), finish)
    assert (answer["id"], answer["custom_id"], answer["error"]) == ("batch_req_a#0", "a", None)
    assert (answer["response"]["status_code"], answer["response"]["request_id"]) == (200, "a#0")
    body = ChatCompletion.model_validate(answer["response"]["body"])
    assert (body.choices[0].message.content, body.choices[0].message.tool_calls) == ("done", None)
    assert (body.choices[0].finish_reason, body.created, body.model) == ("stop", int(EPOCH) + 9, "m")
    assert (body.usage.total_tokens, body.usage.prompt_tokens_details.cached_tokens) == (12, 4)


@pytest.mark.parametrize("status", ["max_steps", "token_budget", "context_length", "timeout"])
def test_a_limit_is_a_response_cut_short(status):
    answer = line(start("a#0"), reply("a#0", 1, base=1), end("a#0", status, finish_reason="stop", n_steps=1))
    choice = answer["response"]["body"]["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"], answer["error"]) == ("length", "reply 1", None)
    assert answer["response"]["body"]["concur"]["status"] == status


@pytest.mark.parametrize(
    ("told", "expected"), [("length", "length"), ("content_filter", "content_filter"), ("tool_calls", "stop"), (None, "stop")]
)
def test_what_cut_an_answer_short_is_told(told, expected):
    answer = line(start("a#0"), reply("a#0", 1, base=1), end("a#0", finish_reason=told, n_steps=1))
    assert ChatCompletion.model_validate(answer["response"]["body"]).choices[0].finish_reason == expected


def test_an_error_has_no_response():
    error = r.ErrorInfo(error_class="engine", message="refused")
    answer = line(start("a#0"), reply("a#0", 1, base=1), end("a#0", "error", error=error))
    assert (answer["response"], answer["error"]) == (None, {"code": "engine", "message": "refused"})


@pytest.mark.parametrize("records", [[end("a#0", "timeout")], [start("a#0"), reply("a#0", 1, base=1), end("a#0", "cancelled")]])
def test_no_answer_is_no_response(records):
    answer = line(*records)
    assert answer["response"] is None
    assert answer["error"]["code"] == records[-1].status


def test_what_the_prompt_has_the_model_say_is_no_answer():
    prompt = [{"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "2"}, {"role": "user", "content": "1 + 2?"}]
    answer = line(start("a#0", messages=prompt), end("a#0", "timeout"))
    assert (answer["response"], answer["error"]["code"]) == (None, "timeout")


def test_no_usage_is_made_up():
    uncounted = {"prompt_tokens": 0, "completion_tokens": 0}
    answer = line(start("a#0"), reply("a#0", 1, base=1, **uncounted), end("a#0", n_steps=1, **uncounted))
    assert ChatCompletion.model_validate(answer["response"]["body"]).usage is None
