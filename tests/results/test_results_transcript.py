from hypothesis import given
from hypothesis import strategies as st
from journals import reply, tool

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


def test_a_conversation_with_a_gap_is_not_whole():
    for told in (reply("a#0", 8, after=7, base=1), reply("a#0", 1, base=2), reply("a#0", 4, base=1, new=[3])):
        transcript = Transcript(PROMPT)
        assert transcript.is_whole(0)
        transcript.reply(told)
        assert not transcript.is_whole(0)


def test_a_conversation_whose_end_is_lost_is_not_whole():
    transcript = Transcript(PROMPT)
    transcript.reply(reply("a#0", 1, base=1))
    assert transcript.is_whole(1)
    assert not transcript.is_whole(2)


def test_what_was_made_again_is_whole_beside_what_is_lost():
    transcript = Transcript(PROMPT)
    transcript.reply(reply("a#0", 3, after=2, base=2))
    transcript.observe(tool("a#0", 4))
    transcript.reply(reply("a#0", 5, base=1))
    transcript.reply(reply("a#0", 6, after=5, base=2, new=[4]))
    assert transcript.is_whole(2)
    assert [m["content"] for m in transcript.messages] == ["go", "reply 5", "seen", "reply 6"]


def test_of_a_call_of_whose_conversation_nothing_stands_nothing_is_needed():
    transcript = Transcript(PROMPT)
    transcript.reply(reply("a#0", 8, after=7, base=0, new=[{"role": "user", "content": "else"}]))
    assert transcript.is_whole(1)
    assert [m["content"] for m in transcript.messages] == ["else", "reply 8"]


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
