import pytest
from hypothesis import given
from hypothesis import strategies as st
from journals import reply, tool

from concur_batch.errors import RunDirectoryError
from concur_batch.results.transcript import Transcript

PROMPT = [{"role": "user", "content": "go"}]


def test_without_a_reply_the_prompt_is_all():
    assert Transcript(PROMPT).messages == PROMPT


def test_last_request_then_last_reply_then_what_its_calls_gave():
    transcript = Transcript(PROMPT)
    transcript.reply(reply("a#0", 1, base=1, calls=["c1", "c2"]))
    transcript.observe(tool("a#0", 3, "second", call_id="c2"))  # ended first, called second
    transcript.observe(tool("a#0", 2, "first", call_id="c1"))
    transcript.reply(reply("a#0", 4, after=1, base=2, new=[2, 3], calls=["c3"]))
    transcript.observe(tool("a#0", 5, "third", call_id="c3"))
    assert [m.get("content") for m in transcript.messages] == ["go", "reply 1", "first", "second", "reply 4", "third"]
    assert transcript.messages[2] == {"role": "tool", "tool_call_id": "c1", "content": "first"}


def test_an_observation_may_bring_its_own_message():
    transcript = Transcript(PROMPT)
    transcript.reply(reply("a#0", 1, base=1))
    transcript.observe(tool("a#0", 2, message={"role": "user", "content": "look: 3"}))
    assert transcript.messages[-1] == {"role": "user", "content": "look: 3"}


def test_a_call_made_again_after_a_resume_counts_once():
    transcript = Transcript(PROMPT)
    transcript.reply(reply("a#0", 1, base=1, calls=["c1"]))
    transcript.observe(tool("a#0", 2, "interrupted", call_id="c1"))
    transcript.observe(tool("a#0", 2, "done", call_id="c1"))
    assert [m.get("content") for m in transcript.messages] == ["go", "reply 1", "done"]


def test_calls_at_once_are_told_apart_by_what_they_go_on_from():
    transcript = Transcript(PROMPT)
    transcript.reply(reply("a#0", 2, base=1, new=[{"role": "user", "content": "two"}]))
    transcript.reply(reply("a#0", 1, base=1, new=[{"role": "user", "content": "one"}]))  # made first, ended last
    assert [m["content"] for m in transcript.messages] == ["go", "two", "reply 2"]
    transcript.reply(reply("a#0", 3, after=1, base=3))
    assert [m["content"] for m in transcript.messages] == ["go", "one", "reply 1", "reply 3"]
    transcript.reply(reply("a#0", 4, after=2, base=2, new=[1]))
    assert [m["content"] for m in transcript.messages] == ["go", "two", "reply 1", "reply 4"]


def test_a_call_to_go_on_from_that_is_not_there_is_named():
    with pytest.raises(RunDirectoryError, match=r"refers to call 7"):
        Transcript(PROMPT).reply(reply("a#0", 8, after=7, base=1))


def test_more_messages_than_there_are_is_a_damaged_journal():
    with pytest.raises(RunDirectoryError, match=r"step 1 of rollout a#0 refers to message 2"):
        Transcript(PROMPT).reply(reply("a#0", 1, base=2))


def test_a_call_that_is_not_there_is_named():
    transcript = Transcript(PROMPT)
    with pytest.raises(RunDirectoryError, match=r"step 4 of rollout a#0 refers to call 3"):
        transcript.reply(reply("a#0", 4, base=1, new=[3]))


STEPS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.booleans()), min_size=1, max_size=8)


@given(STEPS)
def test_any_conversation_comes_back(steps):
    """Each step: so many tool calls, so many messages cut off the end before it, and whether a note is put in."""
    conversation, transcript, n = list(PROMPT), Transcript(PROMPT), 0
    sent, pending, last = (
        len(conversation),
        [],
        0,
    )  # length of the last request with its reply; calls whose messages came after it
    for tools, cut, note in steps:
        keep = max(0, len(conversation) - cut)
        del conversation[keep:]
        new = pending[: max(0, keep - sent)]
        if note:
            conversation.append({"role": "user", "content": f"note {n}"})
            new = [*new, conversation[-1]]
        base, n, after = min(sent, keep), n + 1, last
        sent, last = len(conversation) + 1, n
        answer = reply("a#0", n, after=after, base=base, new=new, calls=[f"c{i}" for i in range(tools)])
        transcript.reply(answer)
        conversation.append(answer.message)
        pending = []
        for i in range(tools):
            n += 1
            pending.append(n)
            conversation.append({"role": "tool", "tool_call_id": f"c{i}", "content": f"saw {n}"})
            transcript.observe(tool("a#0", n, f"saw {n}", call_id=f"c{i}"))
        assert transcript.messages == conversation
