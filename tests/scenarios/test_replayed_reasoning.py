"""What replies hold besides their content is sent again by a resumed agent as it was sent before."""

from dataclasses import replace

from stage import Stage, after, drain, tasks

from concur_batch import records as r
from concur_batch.engine.scripted import ScriptedEngine, reply


def thinks(asked):
    said = reply(None, ("look", {"at": asked.step})) if asked.step < 3 else reply("done")
    signed = [call | {"extra_content": {"signature": f"s{asked.step}"}} for call in said.message.get("tool_calls", ())]
    more = {"reasoning": f"thought {asked.step}"} | ({"tool_calls": signed} if signed else {})
    return replace(said, message=said.message | more)


def test_a_resumed_agent_sends_them_again():
    engine = ScriptedEngine(thinks, delay_s=2.0)
    stage = Stage(engine, tasks(1)).run(after(3.5, drain))
    before = [x.message for x in stage.of(r.ReplyReceived)]
    assert len(before) == 2
    stage.run()
    assert [x.status for x in stage.of(r.RolloutFinished)] == ["completed"]
    sent = [message for message in engine.requests[-1].messages if message["role"] == "assistant"]
    assert sent == before
    assert [message["reasoning"] for message in sent] == ["thought 1", "thought 2"]
    assert [call["extra_content"] for message in sent for call in message["tool_calls"]] == [
        {"signature": "s1"},
        {"signature": "s2"},
    ]
