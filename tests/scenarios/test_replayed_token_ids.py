"""Token ids reach the agent, also where its calls are answered from the journal, and never the messages."""

import json

from stage import Stage, after, drain, tasks

from concur_batch import records as r
from concur_batch.engine.scripted import ScriptedEngine, reply


def told(step):
    return [1, 2, *range(10, 10 + step)], [90 + step, 99]


async def asks_thrice(task, ctx):
    messages, seen = ctx.prompt, []
    for _ in range(3):
        answer = await ctx.complete(messages, return_token_ids=True)
        messages.append(answer.message)
        seen.append([answer.prompt_token_ids, answer.response_token_ids])
    return json.dumps(seen)


def answer(asked):
    prompt, response = told(asked.step)
    return reply(f"say {asked.step}", prompt_token_ids=prompt, response_token_ids=response)


def test_a_resumed_agent_is_given_them_again():
    engine = ScriptedEngine(answer, delay_s=2.0)
    stage = Stage(engine, tasks(1), agent="thrice", agents={"thrice": asks_thrice}).run(after(3.0, drain))
    assert len(stage.of(r.ReplyReceived)) == 2
    stage.run()
    (end,) = stage.of(r.RolloutFinished)
    assert json.loads(end.output) == [list(told(step)) for step in (1, 2, 3)]
    assert [(x.prompt_token_ids, x.response_token_ids) for x in stage.of(r.ReplyReceived)] == [told(1), told(2), told(3)]
    assert not any("token_ids" in key for request in engine.requests for message in request.messages for key in message)


def test_lines_without_them_are_as_before():
    stage = Stage(ScriptedEngine([reply("hi")]), tasks(1)).run()
    (line,) = [r.encoder.encode(x) for x in stage.of(r.ReplyReceived)]
    assert b"token_ids" not in line
