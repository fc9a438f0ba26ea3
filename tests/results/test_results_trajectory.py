from journals import end, reply, start, tool

from concur_batch import records as r
from concur_batch.results.reading import render_parts
from concur_batch.results.trajectory import of_messages, of_records


def text(parts):
    return "\n".join(one.plain for one in render_parts(parts)).strip().split("\n\n")


def of_story(*records):
    return text(of_records(records))


def calls(name="f", arguments="{}"):
    return [{"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}]


def test_a_rollout_as_it_went():
    message = {"role": "assistant", "content": "let me see", "reasoning_content": "hm\nwell", "tool_calls": calls(
        "write", '{"path": "a", "text": "x\\ny", "n": 2}')}  # fmt: skip
    first = r.ReplyReceived(t=2.0, rollout="a#0", engine="e", step=1, n=1, hash="h", base=2, new=[], message=message,
                            finish_reason="tool_calls", prompt_tokens=1200, completion_tokens=30, cached_tokens=1000, model_s=2.5, retries=1)  # fmt: skip
    parts = of_story(
        start("a#0", messages=[{"role": "system", "content": "be good"}, {"role": "user", "content": "go"}]),
        first,
        r.ToolStarted(t=2.0, rollout="a#0", step=1, n=2, tool="write", hash="h", call_id="c1"),
        tool("a#0", 2, "written\n", tool="write", call_id="c1", seconds=0.25, ok=False, error_class="sandbox", truncated=True),
        r.RolloutPaused(t=3.0, rollout="a#0", engine="e", step=1, reason="limit"),
        r.RolloutReturned(t=4.0, rollout="a#0", engine="e", step=1, paused_s=1.0, slot=False),
        r.RolloutReturned(t=9.0, rollout="a#0", engine="e", step=1, paused_s=6.0),
        reply("a#0", 3, after=1, base=3, new=[2], content="done", finish_reason="length"),
        end("a#0", output="done"),
    )
    assert parts == [
        "system\n  be good",
        "user\n  go",
        "\n".join(
            [
                "assistant  step 1, 1,200 (1,000 cached) + 30 tokens, 2.5 s, 1 retry",
                "  │ hm\n  │ well\n  let me see",
                "  → write\n    path: a\n    text:\n      x\n      y\n    n: 2",
            ]
        ),
        "write  c1, 250 ms, truncated, failed (sandbox)\n  written",
        "paused (limit)",
        "gave up waiting after 1.0 s",
        "went on after 6.0 s",
        "assistant  step 3, 10 + 2 tokens, 0 ms, ended by length\n  done",
        "completed, with this as its output",
    ]


def test_what_happened_between():
    parts = of_story(
        start("a#0"),
        reply("a#0", 1, base=1, content="one"),
        reply("a#0", 2, base=0, new=[{"role": "user", "content": "anew"}], content="two"),
        reply("a#0", 3, after=1, base=2, content="three"),
        start("a#0", resumed=True, messages=[]),
        r.CallFailed(t=5.0, rollout="a#0", engine="e", step=4, n=4, hash="h", error="EngineRefused", message="too long"),
        end("a#0", "error", error=r.ErrorInfo(error_class="engine", message="too long")),
    )
    assert [part.split("  ")[0].split("\n")[0] for part in parts] == [
        "user", "assistant", "another conversation", "user", "assistant", "goes on from call 1", "assistant",
        "taken up again, on e", "model call failed", "failed",
    ]  # fmt: skip
    assert parts[-1] == "failed  error of class engine\n  too long"


def test_a_prompt_that_was_not_sent_is_not_told_as_said():
    prompt = [{"role": "system", "content": "be good"}, {"role": "user", "content": "go"}]
    parts = of_story(
        start("a#0", messages=prompt),
        reply("a#0", 1, base=1, new=[{"role": "user", "content": "hi"}]),
        reply("a#0", 2, base=2, content="two"),
        reply("a#0", 3, base=2, content="three"),
    )
    assert [part.split("  ")[0].strip() for part in parts] == [
        "system", "the task's prompt (user)", "user", "assistant",
        "another conversation", "user", "assistant", "another conversation", "assistant",
    ]  # fmt: skip
    assert parts[1] == "the task's prompt (user)  was not sent\n  go"
    assert parts[2] == "user\n  hi"
    assert parts[5] == "user\n  go"  # the second conversation did send it
    anew = [{"role": "system", "content": "be bad"}, {"role": "user", "content": "go a"}]
    parts = of_story(start("a#0"), reply("a#0", 1, base=0, new=anew))
    assert [part.split("\n")[0].split("  ")[0] for part in parts] == ["system", "user", "assistant"]


def test_branches_and_a_history_that_was_made_anew_are_told():
    parts = of_story(
        start("a#0"),
        reply("a#0", 1, base=1, content="one and two"),
        reply("a#0", 3, base=0, new=[{"role": "user", "content": "two"}], after=1),  # of two sub-agents that began together
        reply("a#0", 2, base=0, new=[{"role": "user", "content": "one"}], after=1),
        reply("a#0", 4, base=2, new=[{"role": "user", "content": "sure?"}], after=3),
        reply("a#0", 5, base=1, new=[{"role": "user", "content": "in short"}], after=4),
        reply("a#0", 6, base=2, after=5),
        end("a#0", "max_steps"),
    )
    assert [part.split("\n")[0].split(", 10")[0] for part in parts] == [
        "user", "assistant  step 1",
        "another conversation", "user", "assistant  call 3, step 3",
        "another conversation", "user", "assistant  step 2",
        "goes on from call 3", "user", "assistant  step 4",
        "history rewritten: 2 messages sent, the first 1 as before", "user", "assistant  step 5",
        "history rewritten: 2 messages sent, the first 2 as before", "assistant  step 6",
        "max_steps, without an output",
    ]  # fmt: skip


def test_another_output_than_what_was_said_last_is_shown():
    assert of_story(start("a#0"), end("a#0", output="4"))[-1] == "completed, with this output:\n  4"
    assert of_story(start("a#0"), end("a#0", "max_steps"))[-1] == "max_steps, without an output"


def test_a_call_that_runs_is_told():
    running = r.ToolStarted(t=2.0, rollout="a#0", step=1, n=2, tool="shell", hash="h", call_id="c1")
    assert of_story(start("a#0"), reply("a#0", 1, base=1, calls=["c1"]), running)[-1] == "shell (call c1) has not ended"


def test_messages_of_any_shape_can_be_read():
    parts = of_messages(
        [
            {"role": "user", "content": [{"type": "text", "text": "what is"}, {"type": "image_url", "image_url": {}}, "x"]},
            {"role": "assistant", "content": None, "tool_calls": [*calls("f", "not json"), *calls("g", "{}"), "?", {"a": 1}]},
            {"role": "tool", "tool_call_id": "c1", "content": ""},
            {"role": "developer", "content": {"odd": 1}},
        ]
    )
    assert text(parts) == [
        "user\n  what is\n  [image_url, 38 characters]\n  x",
        "assistant\n  → f\n    not json\n  → g\n    (no arguments)\n  → ?\n    ?\n  → ?\n    a: 1",
        "tool  c1",
        'developer\n  {"odd": 1}',
    ]


def test_arguments_that_are_nested_too_deeply_are_told_as_they_came():
    deep = "[" * 3000
    assert text(of_messages([{"role": "assistant", "content": None, "tool_calls": calls("f", deep)}])) == [
        f"assistant\n  → f\n    {deep}"
    ]


def test_nothing_reaches_the_terminal_as_a_control():
    evil = "\x1b[2J[bold]\r\u202e"
    message = {
        "role": evil,
        "content": evil,
        "reasoning_content": evil,
        "tool_calls": calls(evil, '{"\\u001b[1m": "\\u001b[1m"}'),
    }
    shown = "\n".join(text(of_messages([message])))
    assert "[bold]" in shown  # markup is text
    assert shown.replace("\n", "").isprintable()
