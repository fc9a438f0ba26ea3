"""Lines taken out of a journal: what went on from them is made again, and all else stands."""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from stage import Stage, after, fan, finals, fresh_engine, stop, tasks, turns

from concur_batch import records as r
from concur_batch.engine.scripted import ScriptedEngine
from concur_batch.results.transcript import Transcript


def told(stage, rollout):
    """The conversation as the results tell it, whole."""
    transcript = Transcript(stage.of(r.RolloutStarted, rollout)[0].messages)
    for record in stage.records:
        if isinstance(record, r.ReplyReceived) and record.rollout == rollout:
            transcript.reply(record)
        elif isinstance(record, r.ToolFinished) and record.rollout == rollout:
            transcript.observe(record)
    (end,) = stage.of(r.RolloutFinished, rollout)
    assert transcript.is_whole(end.n_steps)
    return transcript.messages


def take_a_line_out(stage, rollout, which):
    """One of its calls' lines, as one moves a damaged one out of the file, unless it has ended. Returns it, if any."""
    if stage.of(r.RolloutFinished, rollout):
        return None
    lines = [x for x in stage.records if isinstance(x, r.ReplyReceived | r.ToolStarted | r.ToolFinished) and x.rollout == rollout]
    if not lines:
        return None
    stage.records.remove(lines[which % len(lines)])
    return lines[which % len(lines)]


STOPS = st.lists(st.floats(0.1, 14.0), min_size=1, max_size=3)


@settings(max_examples=40)
@given(STOPS, st.integers(0, 30), STOPS)
def test_what_followed_from_a_lost_line_is_made_again(before, which, later):
    """And from then on as if it had been made once; no tool runs twice that must not, unless its own line is the lost one."""
    stage = Stage(fresh_engine(), tasks(2))
    for moment in before:
        stage.run(after(moment, stop))
        stage.engine = fresh_engine()
    lost = take_a_line_out(stage, "t0#0", which)
    for moment in later:
        stage.run(after(moment, stop))
        stage.engine = fresh_engine()
    stage.run()
    assert finals(stage) == {"t0#0": "answer of t0#0", "t1#0": "answer of t1#0"}
    roles = ["user", "assistant", "tool", "assistant", "tool", "tool", "assistant", "tool", "assistant"]
    assert [m["role"] for m in told(stage, "t0#0")] == [m["role"] for m in told(stage, "t1#0")] == roles
    once = [call for call in stage.tools.ran if call[1] == "once"]
    assert len(once) - len(set(once)) <= isinstance(lost, r.ToolStarted)


@settings(max_examples=40)
@given(STOPS, st.integers(0, 60))
@example([5.0, 3.0], 0)  # the others' tools were answered in the second segment, and the line was lost after it
@example([4.0, 4.0], 0)  # the others' tools were made again in the second
def test_a_lost_line_of_one_of_several_conversations_leaves_the_others(moments, which):
    def engine():
        return ScriptedEngine(turns(*["wait"] * 9), delay_s=lambda request: 1.0 + 0.3 * len(str(request.messages)) % 1.7)

    stage = Stage(engine(), tasks(1), agents={"fan": fan(3, "look")}, agent="fan")
    for moment in moments:
        stage.run(after(moment, stop))
        stage.engine = engine()
    lost = take_a_line_out(stage, "t0#0", which)
    there = {x.n for x in stage.of(r.ReplyReceived, "t0#0")}
    stage.run()
    assert finals(stage) == {"t0#0": "012"}
    assert told(stage, "t0#0")[0]["content"].startswith("branch")
    again = len(stage.engine.requests) + len(there) - 9
    assert again <= (3 if lost is not None else 0)
