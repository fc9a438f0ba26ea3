"""Log probabilities reach the agent, also where its calls are answered from the journal, and never the messages."""

import json

from stage import Stage, after, drain, tasks

from concur_batch import records as r
from concur_batch.engine.scripted import ScriptedEngine, reply


def told(step):
    return {"content": [{"token": f"t{step}", "logprob": -0.5 * step, "top_logprobs": []}]}


async def asks_thrice(task, ctx):
    messages, seen = ctx.prompt, []
    for _ in range(3):
        answer = await ctx.complete(messages, logprobs=True)
        messages.append(answer.message)
        seen.append(answer.logprobs)
    return json.dumps(seen)


def test_a_resumed_agent_is_given_them_again():
    engine = ScriptedEngine(lambda asked: reply(f"say {asked.step}", logprobs=told(asked.step)), delay_s=2.0)
    stage = Stage(engine, tasks(1), agent="thrice", agents={"thrice": asks_thrice}).run(after(3.0, drain))
    assert len(stage.of(r.ReplyReceived)) == 2
    stage.run()
    (end,) = stage.of(r.RolloutFinished)
    assert json.loads(end.output) == [told(1), told(2), told(3)]
    assert [x.logprobs for x in stage.of(r.ReplyReceived)] == [told(1), told(2), told(3)]
    assert not any("logprobs" in message for request in engine.requests for message in request.messages)


def test_lines_without_them_are_as_before():
    stage = Stage(ScriptedEngine([reply("hi")]), tasks(1)).run()
    (line,) = [r.encoder.encode(x) for x in stage.of(r.ReplyReceived)]
    assert b"logprobs" not in line
