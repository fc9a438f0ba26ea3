"""The agent `replay` and its filler text, against servers that count tokens in different ways."""

import asyncio
from itertools import pairwise
from random import Random

import pytest

from concur_batch.agent.recorded import Replay, Scale
from concur_batch.agent.wording import WORDS, measure, text
from concur_batch.engine.scripted import ScriptedEngine, reply
from concur_batch.errors import EngineFailed
from concur_batch.jobs.own_schema import own_problems
from concur_batch.task import Task
from concur_batch.virtual import run_virtual

ROW = {
    "input_prompt_length": 6_340,
    "num_turns": 5,
    "assistant_response_length": [114, 103, 85, 230, 71],
    "tool_call_output_length": [1_200, 400, 90, 2_000, 300],
    "tool_call_latency": [20.5, 0.1, 0.2, 0.0, 3.0],
    "final_assistant_response_length": 400,
}
PROMPTS = [6_340, 7_654, 8_157, 8_332, 10_562, 10_933]


def per_character(messages):
    """ChatML with one token per character, as the tiny model of tools/sglang_cpu has it."""
    return sum(len(m["role"]) + len(m["content"]) + 4 for m in messages) + 11


def per_word(messages):
    """A vocabulary that cuts every tenth word in two, and a template of six tokens per message."""
    words = [word for m in messages for word in m["content"].split()]
    return sum(1 + (sum(word.encode()) % 10 == 0) for word in words) + 6 * len(messages) + 3


def engine(count, *, kept=1.0, ignores_length=False):
    """Says words; the share `kept` of a reply's tokens can be read in its text."""

    def outcome(request):
        wanted = request.sampling["max_tokens"]
        said = 7 if ignores_length else wanted
        prompt = count(request.messages)
        content = text(said, f"said {prompt}")
        while count([{"role": "assistant", "content": content}]) - count([{"role": "assistant", "content": ""}]) > said * kept:
            content = content[:-5] if len(content) > 5 else content[:-1]
        return reply(content, prompt_tokens=prompt, completion_tokens=said)

    return ScriptedEngine(outcome)


class Desk:
    """The part of a context that the agent works with: each call goes to the engine, tools wait."""

    def __init__(self, engine):
        self.engine, self.seed, self.prompts, self.calls = engine, 3, [], []

    async def complete(self, messages, *, tools, **sampling):
        assert tools == []
        self.prompts.append([dict(message) for message in messages])
        return await self.engine.complete(_request(messages, sampling))

    async def check_room(self, prompt_tokens):
        pass

    async def call(self, name, arguments):
        self.calls.append((name, arguments["seconds"]))
        await asyncio.sleep(arguments["seconds"])


def _request(messages, sampling):
    from concur_batch.engine.base import Request

    return Request(rollout="r", step=1, request_id="r/1", model="m", messages=messages, sampling=sampling)


def replayed(server, row=ROW, scale=None, task_id="t"):
    desk = Desk(server)

    async def story():
        agent = Replay(scale)
        agent.wording = await measure(server, "m")
        return await agent(Task(id=task_id, index=0, source="trace:1", fields=row), desk), asyncio.get_running_loop().time()

    output, seconds = run_virtual(story())
    asked = server.requests[4:]  # after the four that measure
    return desk, asked, output, seconds


@pytest.mark.parametrize("count", [per_character, per_word])
@pytest.mark.parametrize("kept", [1.0, 0.6])
def test_prompts_have_the_recorded_length(count, kept):
    server = engine(count, kept=kept)
    _, asked, _, _ = replayed(server)
    found = [count(request.messages) for request in asked]
    assert found == pytest.approx(PROMPTS, rel=0.03)
    assert found[0] == pytest.approx(PROMPTS[0], rel=0.01)


def test_replies_are_asked_for_in_the_recorded_length_and_tools_take_the_recorded_time():
    desk, asked, output, seconds = replayed(engine(per_word))
    assert [request.sampling["max_tokens"] for request in asked] == [114, 103, 85, 230, 71, 400]
    assert all(request.sampling["ignore_eos"] for request in asked)
    assert desk.calls == [("wait", second) for second in ROW["tool_call_latency"]]
    assert seconds == pytest.approx(sum(ROW["tool_call_latency"]))
    assert output


def test_a_reply_that_is_shorter_is_made_up_for():
    server = engine(per_word, ignores_length=True)
    _, asked, _, _ = replayed(server)
    assert [per_word(request.messages) for request in asked] == pytest.approx(PROMPTS, rel=0.03)


def test_counts_and_times_are_scaled():
    _, asked, _, seconds = replayed(engine(per_word), scale=Scale(tokens=0.5, time=0.1))
    assert [per_word(request.messages) for request in asked] == pytest.approx([n / 2 for n in PROMPTS], rel=0.03)
    assert seconds == pytest.approx(sum(ROW["tool_call_latency"]) / 10)


def test_agents_share_the_shared_part_and_nothing_else():
    one = replayed(engine(per_word), task_id="one")[0].prompts[0]
    other = replayed(engine(per_word), task_id="other")[0].prompts[0]
    assert one[0] == other[0]
    assert per_word([one[0]]) == pytest.approx(4_096, rel=0.03)  # what a row is taken to share that does not say
    assert one[1]["content"][:100] != other[1]["content"][:100]
    alone = replayed(engine(per_word), scale=Scale(shared_tokens=0))[0].prompts[0]
    assert [message["role"] for message in alone] == ["user"]


def test_the_same_rollout_says_the_same_again():
    assert replayed(engine(per_word))[0].prompts == replayed(engine(per_word))[0].prompts


def test_a_conversation_is_only_appended_to():
    prompts = replayed(engine(per_character))[0].prompts
    assert all(after[: len(before)] == before for before, after in pairwise(prompts))


def test_a_server_that_counts_nothing_is_refused():
    silent = ScriptedEngine(lambda _: reply("so", prompt_tokens=0))
    with pytest.raises(EngineFailed, match="does not tell how many tokens"):
        run_virtual(measure(silent, "m"))


def test_a_row_that_is_no_trace_is_told():
    schema = Replay.__concur_schema__
    assert own_problems(ROW, schema) == []
    assert own_problems({**ROW, "num_turns": 4}, schema) == [
        ("", "assistant_response_length: has 5 entries, and num_turns is 4; should have one entry per tool turn")
    ]
    assert own_problems({"prompt": "Hello"}, schema) == [("", "input_prompt_length: is missing; add it to the row")]


def test_words_are_all_of_one_length():
    assert {len(word) for word in WORDS} == {4}
    assert len(set(WORDS)) == len(WORDS) > 300
    assert text(50, "a") != text(50, "b")
    assert len(text(Random(1).randint(2, 99), "a").split()) >= 2
    assert text(0, "a")
