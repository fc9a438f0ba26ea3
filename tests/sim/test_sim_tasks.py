from dataclasses import replace
from itertools import islice, repeat

import msgspec

from concur_batch.sim.runs import length
from concur_batch.sim.tasks import tasks
from concur_batch.sim.tokens import Tokenizer, marker
from concur_batch.sim.workload import AgentTrace
from concur_batch.task import ScriptedTurn

TRACE = AgentTrace(100, 150, (10, 20, 30), (5, 7), (0.5, 2.0))


def test_a_trace_becomes_a_script():
    (task,) = tasks([TRACE])
    assert task.id == "agent-00000"
    assert task.tools == ("wait",)
    assert [message["role"] for message in task.messages] == ["system", "user"]
    assert task.script == (
        ScriptedTurn(tokens=10, tool_calls=({"name": "wait", "arguments": {"seconds": 0.5, "tokens": 5}},)),
        ScriptedTurn(tokens=20, tool_calls=({"name": "wait", "arguments": {"seconds": 2.0, "tokens": 7}},)),
        ScriptedTurn(tokens=30),
    )


def test_what_is_expected_of_an_agent_is_expected_of_its_task():
    told, untold = tasks([replace(TRACE, expected_tokens=300), TRACE])
    assert (told.expected_tokens, untold.expected_tokens) == (300, None)


def test_agents_share_the_shared_part_alone():
    first, second = tasks([TRACE, TRACE], prefix="a")
    assert [first.id, second.id] == ["a-00000", "a-00001"]
    assert first.messages[0] == second.messages[0]
    assert first.messages[1] != second.messages[1]


def test_without_a_shared_part_there_is_no_system_message():
    (task,) = tasks([AgentTrace(0, 150, (10,), (), ())])
    assert [message["role"] for message in task.messages] == ["user"]


def test_a_prompt_that_is_all_shared_has_no_empty_message():
    (task,) = tasks([AgentTrace(150, 150, (10,), (), ())])
    assert [message["role"] for message in task.messages] == ["system"]


def test_prompts_count_as_the_trace_says():
    (task,) = tasks([TRACE])
    tokenizer, messages, counted = Tokenizer(), list(task.messages), []
    offered = [{"type": "function", "function": {"name": "wait", "description": "waits", "parameters": {}}}]
    for step, turn in enumerate(task.script):
        counted.append(length(tokenizer.prompt(messages, offered)))
        calls = [
            {"id": "c", "type": "function", "function": {**call, "arguments": msgspec.json.encode(call["arguments"]).decode()}}
            for call in turn.tool_calls
        ]
        messages.append({"role": "assistant", "content": marker(turn.tokens, f"reply{step}"), "tool_calls": calls})
        messages += [
            {"role": "tool", "tool_call_id": "c", "content": marker(call["arguments"]["tokens"], f"obs{step}")}
            for call in turn.tool_calls
        ]
    assert counted == TRACE.prompts()
    assert length(tokenizer.prompt(messages, offered)) == TRACE.final_tokens


def test_tasks_are_made_as_they_are_drawn():
    assert [task.index for task in islice(tasks(repeat(TRACE)), 3)] == [0, 1, 2]
