import pytest
from pydantic import ValidationError

from concur_batch.jobs.row import COLUMNS, Row, problems


def explain(**row):
    with pytest.raises(ValidationError) as caught:
        Row.model_validate(row)
    return list(problems(caught.value))


def test_the_columns_are_those_of_the_documentation():
    assert sorted(COLUMNS) == sorted(
        [
            "id",
            "prompt",
            "messages",
            "system",
            "tools",
            "agent",
            "model",
            "sampling",
            "extra_body",
            "expected_tokens",
            "limits",
            "n",
            "seed",
            "target",
            "metadata",
            "script",
        ]
    )


def test_errors_are_in_our_words():
    assert explain(tools=3, sampling=[1], limits="x") == [
        ("tools", "is 3; should be a list"),
        ("sampling", "is [1]; should be an object"),
        ("limits", 'is "x"; should be an object'),
    ]


def test_text_that_is_not_whole_json_is_told():
    ((field, text),) = explain(metadata='{"a": ')
    assert field == "metadata"
    assert text.startswith("text that is not whole JSON")
    assert explain(metadata='{"a": ' + "[" * 3000) == [("metadata", "text that is nested too deeply to be read; flatten it")]


def test_script_turns_know_their_fields():
    assert explain(script=[{"text": "x"}, 3]) == [
        ("script.0.text", "is not known here; known are content, tokens, tool_calls, finish_reason"),
        ("script.1", "is 3; should be an object or text"),
    ]


def test_expected_tokens_are_a_number_of_tokens():
    assert explain(expected_tokens=0) == [("expected_tokens", "is 0; should be greater than or equal to 1")]
    assert explain(expected_tokens=2.5) == [("expected_tokens", "is 2.5; should be a whole number")]
    assert explain(expected_tokens=10**9) == [("expected_tokens", "is 1000000000; should be less than 1000000000")]
    assert Row.model_validate({"expected_tokens": 9000.0}).expected_tokens == 9000


@pytest.mark.parametrize("n", [10**23, 2**63 - 1, 1_000_001, 1e300])
def test_rollouts_of_a_task_have_a_bound(n):
    ((field, text),) = explain(n=n)
    assert field == "n"
    assert text.endswith("should be less than or equal to 1000000")
    assert Row.model_validate({"n": 1_000_000.0}).n == 1_000_000


def test_other_counts_are_whole_in_every_reader():
    assert explain(limits={"max_steps": 2**53 + 1}, sampling={"max_tokens": 10**23}) == [
        ("sampling.max_tokens", "is 100000000000000000000000; should be less than or equal to 9007199254740992"),
        ("limits.max_steps", "is 9007199254740993; should be less than or equal to 9007199254740992"),
    ]


def test_what_a_table_holds_without_end_is_called_infinite():
    infinity = float("inf")
    assert explain(n=infinity, sampling={"temperature": infinity}) == [
        ("sampling.temperature", "is infinite; should be a finite number"),
        ("n", "is infinite; should be a whole number"),
    ]
