import json

from journals import reply, start, tool
from report_runs import HOSTILE, failed, hostile, life

from concur_batch import records as r
from concur_batch.report.chosen import Chosen
from concur_batch.report.trajectory import HEAD_CHARS, TAIL_CHARS, trajectory


def told(*records):
    return trajectory(Chosen("a#0", status="completed"), records)


def test_what_was_said_and_done_in_order_with_what_it_cost():
    story = told(*life("a#0"))
    assert [item["role"] for item in story["items"]] == ["user", "assistant", "tool", "assistant"]
    assert [item["text"] for item in story["items"]] == ["go a", "let me look, a#0", "seen by a#0", "reply 3"]
    assert story["items"][1]["note"] == "step 1: 10 prompt tokens, 40 % cached, 2 generated in 0.50 s"
    assert story["items"][1]["calls"] == [{"name": "f", "text": "{}"}]
    assert story["items"][2]["note"] == "f: 1.00 s"
    assert (story["head"]["model"], story["head"]["steps"], story["head"]["wall_s"]) == ("m", 2, 4.0)


def test_messages_that_an_agent_adds_itself_are_told_once():
    story = told(start("a#0"), reply("a#0", 1, 1), reply("a#0", 2, 2, [{"role": "user", "content": "go on"}], after=1))
    assert [item["text"] for item in story["items"]] == ["go a", "reply 1", "go on", "reply 2"]


def test_several_conversations_are_told_apart():
    story = told(
        start("a#0"),
        reply("a#0", 1, 1),
        reply("a#0", 2, 0, [{"role": "user", "content": "be brief"}], after=1),
        reply("a#0", 3, 2, [{"role": "user", "content": "go on"}], after=1),
        reply("a#0", 4, 2, after=3),
    )
    assert [item["role"] for item in story["items"]] == [
        "user", "assistant", "another conversation", "user", "assistant", "goes on from call 1", "user", "assistant",
        "history rewritten", "assistant",
    ]  # fmt: skip
    assert [item["note"].split(":")[0] for item in story["items"] if "note" in item] == [
        "call 1, step 1", "step 2", "step 3", "2 messages sent, the first 2 as before", "step 4",
    ]  # fmt: skip


def test_a_prompt_that_was_not_sent_is_not_told_as_said():
    prompt = [{"role": "system", "content": "be good"}, {"role": "user", "content": "go a"}]
    story = told(start("a#0", messages=prompt), reply("a#0", 1, 1, [{"role": "user", "content": "hi"}]))
    assert [(item["role"], item["text"]) for item in story["items"]] == [
        ("system", "be good"),
        ("the task's prompt (user)", "go a"),
        ("user", "hi"),
        ("assistant", "reply 1"),
    ]
    assert [item["note"] for item in story["items"][1:2]] == ["was not sent"]
    anew = told(start("a#0"), reply("a#0", 1, 0, [{"role": "system", "content": "be bad"}, {"role": "user", "content": "go a"}]))
    assert [item["text"] for item in anew["items"]] == ["be bad", "go a", "reply 1"]


def test_failures_are_marked():
    call = r.CallFailed(t=1, rollout="a#0", engine="e", step=2, n=3, hash="h", error="EngineFailed", message="500")
    story = told(start("a#0"), tool("a#0", 1, ok=False, error_class="tool"), call, failed("a#0", 9.0, "gave up"))
    assert [item.get("bad") for item in story["items"]] == [None, True, True]
    assert story["head"]["error"] == "tool: gave up"


def test_long_texts_keep_their_ends_and_say_what_is_missing():
    (item,) = told(start("a#0", messages=[{"role": "user", "content": "a" * 500_000 + "z"}]))["items"]
    assert (len(item["text"]), item["cut"], item["tail"][-1]) == (HEAD_CHARS, 500_001 - HEAD_CHARS - TAIL_CHARS, "z")
    many = told(start("a#0"), *(tool("a#0", n, "y" * 10_000) for n in range(200)))
    assert len(json.dumps(many)) < 400_000


def test_any_form_of_message_can_be_told():
    odd = [
        {"role": "user", "content": None},
        {"content": 7},
        {"role": "user", "content": ["a", {"type": "image_url", "image_url": {"url": "data:..."}}, 3]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}, "call", {"function": None}]},
        {"role": "assistant", "tool_calls": "none", "reasoning_content": "hm"},
    ]
    story = told(start("a#0", messages=odd))
    assert [item["role"] for item in story["items"]] == ["user", "?", "user", "assistant", "reasoning", "assistant"]
    assert story["items"][2]["text"].startswith("a\n[image_url, ")
    assert story["items"][3]["calls"][0] == {"name": "f", "text": '{"x": 1}'}


def test_what_an_enemy_says_is_kept_as_it_is():
    records = [record for record in hostile(2) if getattr(record, "rollout", "").endswith("1#0")]
    story = told(*records)
    assert story["items"][0]["text"] == HOSTILE
    assert json.loads(json.dumps(story)) == story
