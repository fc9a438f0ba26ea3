"""Results have what the model was sent, also where an agent edits messages in place."""

import pytest
from stage import Stage, after, stop, tasks, turns

from concur_batch import records as r
from concur_batch.engine.scripted import ScriptedEngine
from concur_batch.records import decoder, encoder
from concur_batch.results.index import Trace
from concur_batch.results.rows import result_row


def strip(messages):
    messages[-2]["content"] = "I call it."


def rename(messages):
    messages[-2]["tool_calls"][0]["function"]["name"] = "other"


def shorten(messages):
    messages[-1]["content"] = messages[-1]["content"][:4]


def trim(messages):
    """All that has been sent before."""
    for message in messages[1:-2]:
        if message["role"] == "tool":
            message["content"] = "[trimmed]"


def count_down(messages):
    messages[0]["content"] = f"{len(messages)} messages"


class Written(Stage):
    """Its journal has records as they were when they were written."""

    def _append(self, record):
        super()._append(decoder.decode(encoder.encode(record)))


class Copying(ScriptedEngine):
    """Keeps the messages as they were sent."""

    async def complete(self, request):
        self.sent = [*getattr(self, "sent", []), [dict(message) for message in request.messages]]
        return await super().complete(request)


@pytest.mark.parametrize("moment", [None, 4.5, 7.5])
@pytest.mark.parametrize("edit", [strip, rename, shorten, trim, count_down])
def test_results_have_what_was_sent(edit, moment):
    async def editing(task, ctx):
        messages = ctx.prompt
        while True:
            said = (await ctx.complete(messages)).message
            messages.append(said)
            if not said.get("tool_calls"):
                return said["content"]
            messages += [seen.message for seen in await ctx.call_all(said["tool_calls"])]
            edit(messages)

    def engine():
        return Copying(turns("look", "once", "look", "look"), delay_s=1.0)

    stage = Written(engine(), tasks(1), agents={"e": editing}, agent="e")
    if moment is not None:
        stage.run(after(moment, stop))
        stage.engine = engine()
    stage.run()
    row = result_row("t0#0", Trace(index=0, k=0), (x for x in stage.records if getattr(x, "rollout", None) == "t0#0"))
    assert row.status == "completed"
    assert row.n_steps == len(stage.of(r.ReplyReceived)) == 5
    assert row.messages[:-1] == stage.engine.sent[-1]
