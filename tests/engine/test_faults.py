import json

import pytest
from chat_server import DEEP, HTML, LATIN, captured

from concur_batch.engine.faults import fault, retry_after, room_for_completion
from concur_batch.errors import ContextLengthExceeded, EngineBusy, EngineFailed, EngineRefused


def nested(message, **fields):
    return json.dumps({"error": {"message": message} | fields}).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [
        (400, captured("too_long.json").encode(), ContextLengthExceeded, "30019 tokens"),
        (400, captured("too_long_sum.json").encode(), ContextLengthExceeded, "16384 tokens"),
        (400, captured("bad_max_tokens.json").encode(), EngineRefused, "HTTP 400: max_new_tokens must be at least 0, got -1."),
        (400, nested("Too much.", code="context_length_exceeded"), ContextLengthExceeded, "Too much."),
        (400, nested("too big", type="exceed_context_size_error"), ContextLengthExceeded, "too big"),
        (
            400,
            nested("Input length (39 tokens) exceeds the maximum allowed length (29 tokens)."),
            ContextLengthExceeded,
            "29 tokens",
        ),
        (400, nested("tools[0].function.name exceeds the maximum allowed length of 64"), EngineRefused, "length of 64"),
        (400, nested("The decoder prompt (length 9) is longer than the maximum model length of 8"), ContextLengthExceeded, "9"),
        (400, b'{"message": "Duplicate request ID detected: x"}', EngineBusy, "Duplicate"),
        (
            400,
            b'{"statusCode": 400, "error": "Bad Request", "message": "maximum context length is 4096 tokens"}',
            ContextLengthExceeded,
            "HTTP 400: maximum context length",
        ),
        (400, b'{"statusCode": 400, "error": "Bad Request", "message": ["a", "b"]}', EngineRefused, "HTTP 400: Bad Request"),
        (401, b'{"error": "Unauthorized"}', EngineRefused, "set CONCUR_API_KEY, SGLANG_API_KEY or OPENAI_API_KEY"),
        (404, nested("The model `x` does not exist."), EngineRefused, "The model `x` does not exist."),
        (404, HTML.encode(), EngineRefused, "an HTML page ('It works!')"),
        (307, b"", EngineRefused, "redirects to https://there"),
        (422, b'{"detail": [{"loc": ["body"], "msg": "Field required"}]}', EngineRefused, "Field required"),
        (429, b"", EngineBusy, "an empty body"),
        (429, nested("pay first", code="insufficient_quota"), EngineRefused, "pay first"),
        (503, b'{"message": "The request queue is full."}', EngineBusy, "queue is full"),
        (408, b"slow", EngineFailed, "slow"),
        (500, HTML.encode(), EngineFailed, "an HTML page"),
        (502, b"[1]", EngineFailed, "[1]"),
        (503, LATIN, EngineBusy, "caf\ufffd"),
        (500, DEEP, EngineFailed, "[[["),
        (400, LATIN, EngineRefused, "caf\ufffd"),
    ],
    ids=lambda value: value[:20] if isinstance(value, bytes) else None,
)
def test_classes_answers(status, body, kind, text):
    error = fault(status, {"location": "https://there"}, body, "http://engine")
    assert type(error) is kind
    assert str(error).startswith("http://engine: ")
    assert text in str(error)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-1"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:07 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 7.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:27:00 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:07 GMT"}, None),
    ],
)
def test_reads_retry_after_without_a_clock(headers, seconds):
    assert retry_after(headers) == seconds


@pytest.mark.parametrize(
    ("message", "room"),
    [
        (json.loads(captured("too_long_sum.json"))["message"], 16384 - 10019 - 1),
        (json.loads(captured("too_long.json"))["message"], None),
        (
            (
                "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens (1000 in the messages, "
                "8000 in the completion). Please reduce the length of the messages or completion."
            ),
            7191,
        ),
        (
            (
                "'max_tokens' or 'max_completion_tokens' is too large: 8000. This model's maximum context length is 8192 tokens and "
                "your request has 1000 input tokens (8000 > 8192 - 1000)."
            ),
            7191,
        ),
        (
            (
                "This model's maximum context length is 128000 tokens. However, you requested 65535 output tokens and your prompt "
                "contains at least 62466 input tokens, for a total of at least 128001 tokens."
            ),
            32766,
        ),
        ("This model's maximum context length is 8192 tokens. However, your request has 9000 input tokens.", None),
        (
            (
                "You passed 97 input tokens and requested 4000 output tokens. However, the model's context length is only 4096 "
                "tokens, resulting in a maximum input length of 96 tokens. Please reduce the length of the input prompt. "
                "(parameter=input_tokens, value=97)"
            ),
            1999,
        ),
        (
            (
                "You passed 90000 input characters and requested 4000 output tokens. However, the model's context length is only "
                "4096 tokens, resulting in a maximum input length of 96 tokens (at most 1536 characters)."
            ),
            1999,
        ),
        (
            (
                "You passed 4097 input tokens and requested 0 output tokens. However, the model's context length is only 4096 tokens, "
                "resulting in a maximum input length of 4096 tokens."
            ),
            None,
        ),
        ("max_tokens=8000cannot be greater than max_model_len=max_total_tokens=4096. Please request fewer output tokens.", 2047),
        ("max_completion_tokens=8000 cannot be greater than max_model_len=4096. Please request fewer output tokens.", 2047),
        ("truncate_prompt_tokens=100 cannot be greater than max_model_len - max_tokens = 96.", None),
        ("max_new_tokens must be at least 0, got -1.", None),
        ("max_completion_tokens is too large: 200000.This model supports at most 131072 completion tokens.", 131072),
        (
            "max_tokens is too large: 20000. This model supports at most 16384 completion tokens, whereas you provided 20000.",
            16384,
        ),
    ],
)
def test_finds_what_would_have_fitted(message, room):
    assert room_for_completion(json.dumps({"message": message}).encode()) == room
