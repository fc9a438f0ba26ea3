"""Recorded prompts that the engine cannot hold: no text is made for them."""

import pytest
from stage import Stage, after, drain, tasks

from concur_batch import records as r
from concur_batch.agent.recorded import Replay
from concur_batch.agent.wording import Wording
from concur_batch.engine.base import Capabilities
from concur_batch.engine.scripted import ScriptedEngine, reply
from concur_batch.errors import ContextLengthExceeded
from concur_batch.task import Limits

ROW = {
    "input_prompt_length": 500,
    "num_turns": 2,
    "assistant_response_length": [10, 10],
    "tool_call_output_length": [30_000, 90],
    "tool_call_latency": [1.0, 1.0],
    "final_assistant_response_length": 10,
    "shared_tokens": 0,
}
LARGE = {**ROW, "input_prompt_length": 30_000}


def engine(**told):
    """Counts four tokens a message and one a word; tells this of itself."""

    def outcome(request):
        prompt = sum(4 + len(message["content"].split()) for message in request.messages)
        return reply("so it is", prompt_tokens=prompt, completion_tokens=10)

    return ScriptedEngine(outcome, delay_s=1.0, capabilities=Capabilities(kind="scripted", models=("scripted",), **told))


def replayed(server, row=ROW, **more):
    agent = Replay()
    agent.wording = Wording(per_word=1.0, user=4.0, system=4.0, turn=4.0)
    return Stage(server, tasks(1, fields=row), agents={"replay": agent}, agent="replay", **more)


def ends(stage):
    return [(x.status, x.n_steps, x.error) for x in stage.of(r.RolloutFinished)]


@pytest.mark.parametrize(
    "told", [{"context_length": 20_000}, {"capacity_tokens": 20_000}, {"context_length": 10**6, "capacity_tokens": 20_000}]
)
@pytest.mark.parametrize(("row", "steps", "tokens"), [(LARGE, 0, "30,000"), (ROW, 1, "30,510")])
def test_one_that_is_too_long_is_refused_before_it_is_made(told, row, steps, tokens):
    server = engine(**told)
    stage = replayed(server, row).run()
    assert ends(stage) == [("context_length", steps, None)]
    assert max((request.messages[-1]["content"].count(" ") for request in server.requests), default=0) < 1_000
    (failed,) = stage.of(r.CallFailed)
    assert (failed.error, failed.step, failed.retries) == ("ContextLengthExceeded", steps + 1, 0)
    assert failed.message == (
        f"scripted: a prompt of {tokens} tokens is longer than the model's context or the KV pool allow (20,000 tokens)"
    )


def test_one_that_fits_or_an_engine_that_does_not_tell_is_sent():
    assert ends(replayed(engine(context_length=40_000)).run()) == [("completed", 3, None)]
    assert ends(replayed(engine(), LARGE).run()) == [("completed", 3, None)]


def test_a_limit_that_is_reached_comes_first():
    assert ends(replayed(engine(context_length=20_000), limits=Limits(max_steps=1)).run()) == [("max_steps", 1, None)]


def test_what_a_larger_engine_has_answered_is_made_again():
    stage = replayed(engine(context_length=40_000))
    stage.run(after(2.5, drain))
    assert (stage.complete, len(stage.of(r.ReplyReceived))) == (False, 2)
    stage.engine = engine(context_length=20_000)
    assert ends(stage.run()) == [("context_length", 2, None)]


@pytest.mark.parametrize(("small", "large"), [({"context_length": 20_000}, {}), ({}, {"context_length": 20_000})])
def test_one_that_was_refused_is_refused_again_where_its_end_was_not_recorded(small, large):
    """By the server then and not asked now, or the other way round."""

    answers = [reply("so it is", prompt_tokens=500, completion_tokens=10), ContextLengthExceeded("too long")]
    server = ScriptedEngine(answers, delay_s=1.0, capabilities=engine(**small).capabilities)
    stage = replayed(server).run()
    assert ends(stage) == [("context_length", 1, None)]
    stage.records = [x for x in stage.records if not isinstance(x, r.RolloutFinished)]
    stage.engine = engine(**large)
    assert ends(stage.run()) == [("context_length", 1, None)]
    assert (stage.engine.requests, len(stage.of(r.CallFailed))) == ([], 1)
