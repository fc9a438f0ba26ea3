import json
import re
from pathlib import Path

import pytest

from concur_batch.jobs.schema import NO_SCRIPT, RowSchema, SchemaOptions
from concur_batch.task import Limits, Message, ScriptedTurn, Task

USER: Message = {"role": "user", "content": "x"}


def check(row, **options):
    schema = RowSchema(SchemaOptions(known_tools=frozenset({"search", "shell"}), **options))
    return schema.task(row, 4, "j:5", lambda index, digits: f"{index}-{digits}")


def faults(row, **options):
    result = check(row, **options)
    assert isinstance(result, list), result
    return [f"{fault.field}: {fault.text}" for fault in result]


def test_every_field_has_its_place():
    row = {
        "id": "a",
        "system": "Be brief.",
        "prompt": "x",
        "tools": ["search", {"type": "function", "function": {"name": "shell", "parameters": {}}}],
        "agent": "react",
        "model": "m",
        "sampling": {"temperature": 0, "stop": ["\n"], "extra_body": {"top_k": 4}},
        "extra_body": {"min_p": 0.1},
        "limits": {"max_turns": 3, "max_output_tokens": 4, "max_total_tokens": 5, "timeout_s": 6, "context_length": 7},
        "n": 2,
        "seed": 9,
        "target": [1],
        "metadata": {"k": None},
        "script": [
            "hello",
            {"tokens": 30, "tool_calls": [{"name": "shell", "arguments": {"a": 1}}, {"name": "x"}]},
            {"content": "", "finish_reason": "length"},
        ],
    }
    task = check(row)
    assert isinstance(task, Task)
    assert task == Task(
        id="a",
        index=4,
        source="j:5",
        messages=({"role": "system", "content": "Be brief."}, USER),
        tools=("search", {"type": "function", "function": {"name": "shell", "parameters": {}}}),
        agent="react",
        model="m",
        sampling={"temperature": 0.0, "stop": ["\n"], "top_k": 4, "min_p": 0.1},
        limits=Limits(max_steps=3, max_output_tokens=4, max_total_tokens=5, timeout_s=6.0, context_length=7),
        n=2,
        seed=9,
        target=[1],
        metadata={"k": None},
        script=(
            ScriptedTurn(content="hello"),
            ScriptedTurn(tokens=30, tool_calls=({"name": "shell", "arguments": {"a": 1}}, {"name": "x", "arguments": {}})),
            ScriptedTurn(content="", finish_reason="length"),
        ),
        fingerprint=task.fingerprint,
    )
    assert len(task.fingerprint) == 16


def test_messages_keep_all_that_is_in_them():
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "x"}], "name": "n"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "y"},
    ]
    assert list(check({"messages": messages}).messages) == messages


def test_nulls_stand_for_absent_fields():
    row = {
        "id": None,
        "prompt": "x",
        "messages": None,
        "n": None,
        "sampling": {"temperature": None},
        "limits": {"max_steps": None},
    }
    task = check(row)
    assert (task.messages, task.n, task.sampling, task.limits) == ((USER,), None, {}, Limits())
    assert task.fingerprint == check({"prompt": "x"}).fingerprint
    assert task.id == f"4-{task.fingerprint}"


def test_tables_may_hold_json_text_and_whole_floats():
    row = {"messages": '[{"role": "user", "content": "x"}]', "n": 2.0, "limits": '{"max_steps": 3.0}', "metadata": '{"a": 1}'}
    task = check(row)
    assert (task.messages, task.n, task.limits, task.metadata) == ((USER,), 2, Limits(max_steps=3), {"a": 1})


def test_the_seed_in_sampling_is_the_base_seed():
    task = check({"prompt": "x", "sampling": {"seed": 5, "temperature": 1}})
    assert (task.seed, task.sampling) == (5, {"temperature": 1.0})


@pytest.mark.parametrize("alias", ["id", "custom_id", "task_id", "instance_id", "problem_id"])
def test_the_id_has_aliases_and_may_be_a_number(alias):
    task = check({alias: 17, "prompt": "x"}, strict=True)
    assert (task.id, task.metadata) == ("17", {})
    assert check({alias: 17.0, "prompt": "x"}).id == "17"


def test_an_alias_beside_the_id_is_metadata():
    assert check({"id": "a", "task_id": "t", "prompt": "x"}, strict=True).metadata == {"task_id": "t"}


def test_unknown_columns_go_to_metadata_with_one_warning_each():
    schema = RowSchema(SchemaOptions())
    for line in (1, 2):
        row = {"id": "a", "prompt": "x", "difficulty": 3, "temperature": 1, "metadata": {"k": 1}, "max_steps": 3, "sampligs": 1}
        task = schema.task(row, 0, f"j:{line}", lambda *_: "")
        assert task.metadata == {"difficulty": 3, "temperature": 1, "k": 1, "max_steps": 3, "sampligs": 1}
    assert schema.warnings() == [
        "j:1: difficulty: unknown column, kept in metadata; what is to be passed through belongs in metadata",
        'j:1: temperature: unknown column, kept in metadata; to sample with it, write "sampling": {"temperature": ...}',
        'j:1: max_steps: unknown column, kept in metadata; to limit by it, write "limits": {"max_steps": ...}',
        "j:1: sampligs: unknown column, kept in metadata; did you mean sampling?",
    ]


def test_strict_refuses_unknown_columns():
    assert faults({"prompt": "x", "modle": "m"}, strict=True) == ["modle: is not known; did you mean model?"]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({}, "prompt: is missing; give prompt (text) or messages (a list)"),
        ({"prompt": [1]}, "prompt: is [1]; should be text; a list of messages belongs in messages"),
        (
            {"input_prompt_length": 9, "num_turns": 0},
            "prompt: is missing; a recorded trace like this is run with --agent replay, or simulated with `concur simulate`",
        ),
        ({"promt": "x"}, 'prompt: is missing (is "promt" meant?); give prompt (text) or messages (a list)'),
        ({"prompt": "x", "messages": [USER]}, "prompt: stands beside messages; give exactly one of the two"),
        ({"prompt": ""}, "prompt: is empty; should be given or left out"),
        ({"prompt": 3}, "prompt: is 3; should be text"),
        ({"prompt": "x", "id": ""}, "id: is empty; should be given or left out"),
        ({"prompt": "x", "id": 1.5}, "id: is 1.5; should be text or a whole number"),
        ({"prompt": "x", "id": True}, "id: is true; should be text or a whole number"),
        (
            {"prompt": "x", "id": 2.0**60},
            "id: is 1.152921504606847e18, too large a float to tell one id from the next; should be text or a whole number",
        ),
        (
            {"system": "s", "messages": [{"role": "system", "content": "t"}, USER]},
            "system: stands beside messages that begin with a system message; give one of the two",
        ),
        ({"messages": []}, "messages: is empty; should be given or left out"),
        ({"messages": "x"}, 'messages: is "x"; should be a list'),
        ({"messages": [3]}, "messages.0: is 3; should be an object"),
        ({"messages": [{"content": "x"}]}, "messages.0.role: is missing; should be given"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content: should be text, null or a list of content parts"),
        ({"prompt": "x", "n": 0}, "n: is 0; should be greater than or equal to 1"),
        ({"prompt": "x", "n": True}, "n: is true; should be a whole number"),
        ({"prompt": "x", "n": "3"}, 'n: is "3"; should be a whole number'),
        ({"prompt": "x", "sampling": {"temperature": "hot"}}, 'sampling.temperature: is "hot"; should be a number'),
        (
            {"prompt": "x", "sampling": {"stream": True}},
            "sampling.stream: does not belong here; leave it out; replies are not streamed",
        ),
        ({"prompt": "x", "extra_body": {"messages": []}}, "extra_body.messages: does not belong here; write the column messages"),
        ({"prompt": "x", "extra_body": '{"model": "m"}'}, "extra_body.model: does not belong here; write the column model"),
        (
            {"prompt": "x", "sampling": {"extra_body": {"n": 2}}},
            "sampling.extra_body.n: does not belong here; write the column n; each rollout is a request of its own",
        ),
        ({"prompt": "x", "extra_body": {"seed": "s"}}, 'extra_body.seed: is "s"; should be a whole number'),
        (
            {"prompt": "x", "seed": 1, "extra_body": {"seed": 2}},
            "extra_body.seed: stands beside the column seed; give one of the two",
        ),
        (
            {"prompt": "x", "seed": 1, "sampling": {"seed": 2}},
            "sampling.seed: stands beside the column seed; give one of the two",
        ),
        (
            {"prompt": "x", "limits": {"max_stps": 2}},
            (
                "limits.max_stps: is not known here; "
                "known are max_steps, max_output_tokens, max_total_tokens, timeout_s, context_length, max_turns"
            ),
        ),
        (
            {"prompt": "x", "limits": {"max_steps": 2, "max_turns": 2}},
            "limits: max_turns is another name of max_steps; give one of the two",
        ),
        ({"prompt": "x", "a": 1, "metadata": {"a": 2}}, "a: is a column and also a key of metadata; rename one of the two"),
        ({"prompt": "x", "script": []}, "script: is empty; should be given or left out"),
        ({"prompt": "x", "script": [{}]}, "script.0: says nothing; should have content, tokens or tool_calls"),
        (
            {"prompt": "x", "script": [{"content": "a", "tokens": 1}]},
            "script.0: has both content and tokens; tokens stands in place of content",
        ),
        (
            {"prompt": "x", "script": [{"tool_calls": [{"name": "f", "arguments": 3}]}]},
            "script.0.tool_calls.0.arguments: should be an object, or its JSON text",
        ),
    ],
)
def test_a_fault_names_the_field_and_what_would_be_right(row, fault):
    assert faults(row) == [fault]


def test_all_faults_of_a_row_are_told():
    assert len(faults({"prompt": "x", "messages": [USER], "tools": ["no"]})) == 2
    assert len(faults({"prompt": 3, "n": 0, "limits": {"timeout_s": -1}})) == 3


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"prompt": None, "tools": "search"}, ["tools", "prompt"]),
        ({"prompt": "x", "messages": [USER], "n": 0, "tools": ["no"]}, ["n", "tools.0", "prompt"]),
        ({"prompt": 3, "tools": ["no"], "sampling": {"n": 2}}, ["prompt", "tools.0", "sampling.n"]),
        ({"prompt": "x", "n": 0, "modle": "m"}, ["n", "modle"]),
        ({"prompt": "x", "script": [3]}, ["script.0"]),
        ({"n": 0}, ["n", "", "prompt"]),
    ],
)
def test_a_fault_of_one_column_hides_none_of_the_others(row, told):
    found = faults(row, strict=True, require_script="script" in row or len(row) == 1)
    assert [fault.partition(": ")[0] for fault in found] == told


def test_long_values_are_cut_short():
    (fault,) = faults({"prompt": "x", "n": "9" * 1000})
    assert len(fault) < 90


def test_the_embedded_engine_needs_a_script():
    assert faults({"prompt": "x"}, require_script=True) == [f": {NO_SCRIPT}"]
    assert isinstance(check({"prompt": "x", "script": ["done"]}, require_script=True), Task)


def test_the_rows_of_the_documentation_pass():
    text = (Path(__file__).parents[2] / "docs" / "job-format.md").read_text(encoding="utf-8")
    rows = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]
    schema = RowSchema(SchemaOptions(known_tools=frozenset({"shell", "read_file"}), strict=True))
    usual = [row for row in rows if "board" not in row]
    assert len(usual) == 4
    assert all(isinstance(schema.task(row, 0, "j:1", lambda *_: ""), Task) for row in usual)


def test_what_asks_for_nothing_may_stand_in_extra_body():
    """Runs that were begun with it can go on."""
    assert isinstance(check({"prompt": "x", "extra_body": {"stream": False, "n": 1}}), Task)
