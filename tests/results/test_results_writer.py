import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from journals import EPOCH, ListJournal, end, reply, segment, short_life, start, tool

from concur_batch import records as r
from concur_batch.errors import RunDirectoryError
from concur_batch.results.lost import Lost, lost_messages
from concur_batch.results.writer import write_results


def utc(seconds):
    """A date as Parquet holds it."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def rows(run_dir):
    return pq.read_table(run_dir / "results.parquet").to_pylist()


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_empty_journal_gives_empty_files(tmp_path):
    results = write_results(tmp_path, ListJournal([]))
    assert (results.rows, rows(tmp_path)) == (0, [])
    assert pq.read_table(tmp_path / "series.parquet").num_rows == 0
    assert (tmp_path / "failures.jsonl").read_bytes() == b""
    assert json.loads((tmp_path / "summary.json").read_text())["rollouts"]["ended"] == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["failures.jsonl", "results.parquet", "series.parquet", "summary.json"]


def test_a_row_holds_the_whole_rollout(tmp_path):
    story = [
        segment(),
        start("a#1", metadata={"x": [1]}, target=3),
        reply("a#1", 1, base=1, calls=["c1"]),
        tool("a#1", 2, "3", call_id="c1"),
        reply("a#1", 3, after=1, base=2, new=[2], content="three"),
        end(
            "a#1", finish_reason="stop", output="three", n_steps=2, prompt_tokens=20, completion_tokens=4, wait_s=0.5, wall_s=3.0
        ),
    ]
    write_results(tmp_path, ListJournal(story))
    (row,) = rows(tmp_path)
    messages = json.loads(row.pop("messages"))
    assert [m["content"] for m in messages] == ["go a", "reply 1", "3", "three"]
    assert row == {
        "id": "a",
        "rollout": 1,
        "attempt": 1,
        "status": "completed",
        "finish_reason": "stop",
        "output": "three",
        "n_steps": 2,
        "usage": {"prompt_tokens": 20, "cached_tokens": None, "completion_tokens": 4, "reasoning_tokens": 0},
        "context_tokens": 12,
        "error": None,
        "times": {
            "admission_s": 0.0, "paused_s": 0.0, "queue_s": 0.5, "model_s": 0.0, "tool_s": 0.0, "retry_s": 0.0, "wall_s": 3.0,
        },
        "model": "m",
        "endpoint": "e",
        "seed": 7,
        "agent": "react",
        "started_at": utc(EPOCH + 1),
        "finished_at": utc(EPOCH + 4),
        "logprobs": None,
        "prompt_token_ids": None,
        "response_token_ids": None,
        "target": "3",
        "metadata": '{"x":[1]}',
    }  # fmt: skip


def test_tokens_that_nobody_counted_are_not_known(tmp_path):
    uncounted = {"prompt_tokens": 0, "completion_tokens": 0}
    story = [segment(), start("a#0"), reply("a#0", 1, base=1, **uncounted), end("a#0", n_steps=1, **uncounted)]
    write_results(tmp_path, ListJournal([*story, start("b#0", 1), end("b#0", "timeout")]))
    a, b = pq.read_table(tmp_path / "results.parquet").to_pylist()
    told = [(row["context_tokens"], row["usage"]["prompt_tokens"], row["usage"]["completion_tokens"]) for row in (a, b)]
    assert told == [(None, None, None), (None, 0, 0)]  # the other made no call


def test_sums_that_leave_a_reply_out_are_not_known(tmp_path):
    """Also where an earlier segment had it."""
    uncounted = {"prompt_tokens": 0, "completion_tokens": 0}
    sums = {"n_steps": 2, "prompt_tokens": 10, "completion_tokens": 2, "cached_tokens": 4}
    story = [segment(), start("a#0"), reply("a#0", 1, base=1, **uncounted), segment(EPOCH + 60), start("a#0", resumed=True)]
    story += [reply("a#0", 2, after=1, base=2, cached_tokens=4), end("a#0", **sums)]
    write_results(tmp_path, ListJournal([*story, start("b#0", 1), reply("b#0", 1, base=1), end("b#0", **sums | {"n_steps": 1})]))
    a, b = pq.read_table(tmp_path / "results.parquet").to_pylist()
    counts = ("prompt_tokens", "cached_tokens", "completion_tokens")
    assert [[row["usage"][name] for name in counts] for row in (a, b)] == [[None] * 3, [10, 4, 2]]
    assert a["context_tokens"] == 12


def test_an_interrupted_and_resumed_run(tmp_path):
    """Dates come from the segment of each record; whoever did not end has no row."""
    story = [
        segment(),
        *short_life("a#0", 0),
        start("b#0", 1, t=2.0),
        reply("b#0", 1, base=1, calls=["c"]),
        start("c#0", 2),
        segment(EPOCH + 1000),
        start("b#0", 1, t=1.0, resumed=True, messages=[]),
        tool("b#0", 2, "late", call_id="c"),
        reply("b#0", 3, base=1, new=[1, 2]),
        end("b#0", t=5.0),
    ]
    write_results(tmp_path, ListJournal(story))
    a, b = rows(tmp_path)
    assert (a["id"], b["id"]) == ("a", "b")
    assert b["started_at"] == utc(EPOCH + 2)
    assert b["finished_at"] == utc(EPOCH + 1005)
    assert [m["content"] for m in json.loads(b["messages"])] == ["go b", "reply 1", "late", "reply 3"]


def test_ids_may_hold_the_mark_and_order_is_the_jobs(tmp_path):
    story = [segment(), *short_life("x#y#0", 0), *short_life("b#0", 1), *short_life("b#1", 1)]
    write_results(tmp_path, ListJournal(story), iter([("b", 2), ("x#y", 1)]))
    assert [(row["id"], row["rollout"]) for row in rows(tmp_path)] == [("b", 0), ("b", 1), ("x#y", 0)]


def test_a_rollout_that_ended_before_it_began(tmp_path):
    write_results(tmp_path, ListJournal([segment(), end("a#0", "cancelled")]))
    (row,) = rows(tmp_path)
    assert (row["id"], row["status"], row["started_at"], row["seed"], row["messages"]) == ("a", "cancelled", None, None, "[]")
    assert row["context_tokens"] is None


def test_failures_are_errors_of_the_last_attempt_only(tmp_path):
    broken = r.ErrorInfo(error_class="tool", message="no such file", retryable=True)
    story = [
        segment(),
        *short_life("a#0", 0, "error", error=broken),
        *short_life("b#0", 1, "error", error=broken),
        *short_life("c#0", 2, "max_steps"),
        start("a#0", 0, attempt=2),
        end("a#0", attempt=2),
    ]
    results = write_results(tmp_path, ListJournal(story))
    (failure,) = lines(tmp_path / "failures.jsonl")
    assert (failure["id"], failure["rollout"], failure["attempt"]) == ("b", 0, 1)
    assert failure["error"] == {"class": "tool", "message": "no such file", "retryable": True}
    assert failure["last_message"]["content"] == "reply 1"
    assert results.summary["failures"] == {"tool": 1}
    assert [row["error"] for row in rows(tmp_path)] == [None, failure["error"], None]


def test_json_lines_hold_the_same_rows(tmp_path):
    write_results(tmp_path, ListJournal([segment(), start("a#0", target=[1]), end("a#0")]), output_format="jsonl")
    (line,) = lines(tmp_path / "results.jsonl")
    (row,) = rows(tmp_path)
    assert set(line) == set(row)
    assert (line["messages"], line["target"]) == (json.loads(row["messages"]), [1])
    assert line["finished_at"] == "2023-11-14T22:13:24Z"


def test_openai_lines(tmp_path):
    write_results(tmp_path, ListJournal([segment(), *short_life("a#0")]), output_format="openai")
    (line,) = lines(tmp_path / "results.jsonl")
    assert line["custom_id"] == "a"
    assert line["response"]["body"]["choices"][0]["message"]["content"] == "reply 1"


def test_a_journal_that_breaks_half_way_leaves_the_old_results(tmp_path):
    class Breaking(ListJournal):
        def at(self, position):
            record = super().at(position)
            if getattr(record, "rollout", "") == "b#0":
                raise RunDirectoryError("broken journal line")
            return record

    write_results(tmp_path, ListJournal([segment(), *short_life("a#0")]))
    with pytest.raises(RunDirectoryError, match="broken journal line"):
        write_results(tmp_path, Breaking([segment(), *short_life("a#0"), *short_life("b#0", 1)]))
    assert [row["id"] for row in rows(tmp_path)] == ["a"]
    assert not list(tmp_path.glob(".*"))


def test_a_conversation_with_a_gap_is_left_out_and_everything_else_written(tmp_path):
    gap = [start("b#0", 1), reply("b#0", 2, base=1, new=[1]), end("b#0", output="yes", n_steps=2, prompt_tokens=20)]
    headless = [reply("c#0", 1, base=1), end("c#0", "error", n_steps=1, error=r.ErrorInfo(error_class="tool", message="no"))]
    story = [segment(), *short_life("a#0", n_steps=1), *gap, *headless, *short_life("d#0", 3, n_steps=1)]
    results = write_results(tmp_path, ListJournal(story))
    assert results.lost == (("b#0", False), ("c#0", True))
    told = [(row["id"], row["status"], row["n_steps"], len(json.loads(row["messages"]))) for row in rows(tmp_path)]
    assert sorted(told) == [("a", "completed", 1, 2), ("b", "completed", 2, 0), ("c", "error", 1, 0), ("d", "completed", 1, 2)]
    (b,) = [row for row in rows(tmp_path) if row["id"] == "b"]
    assert (b["output"], b["usage"]["prompt_tokens"], b["context_tokens"]) == ("yes", 20, 12)
    assert lines(tmp_path / "failures.jsonl")[0]["last_message"] is None


def test_a_start_that_is_lost_takes_more_than_the_messages(tmp_path):
    """Also where a later segment has taken the rollout up, and where its messages do not go on from the prompt."""
    resumed = [start("a#0", resumed=True, messages=[]), reply("a#0", 1, base=1), end("a#0", n_steps=1)]
    own = [reply("b#0", 1, base=0, new=[{"role": "user", "content": "hi"}]), end("b#0", n_steps=1)]
    whole = [start("d#0"), start("d#0", resumed=True, messages=[]), reply("d#0", 1, base=1), end("d#0", n_steps=1)]
    results = write_results(tmp_path, ListJournal([segment(), *resumed, *own, end("c#0", "cancelled"), *whole]))
    assert set(results.lost) == {("a#0", True), ("b#0", True)}
    assert lost_messages(Path("out"), sorted(results.lost)) == (
        "the journal lacks the start of a#0, b#0, so their rows are without metadata and target, and without messages that go on "
        "from the prompt; see what is there by: concur results out --open 'a#0'"
    )
    assert lost_messages(Path("out"), [Lost("b#0", start=True), Lost("c#0", start=False)]).startswith(
        "the journal lacks lines of c#0, so its row is without messages and otherwise complete; and the start of b#0, so its row "
    )
    assert {row["id"]: row["started_at"] is None for row in rows(tmp_path)} == {"a": True, "b": True, "c": True, "d": False}


def test_long_transcripts_are_written_in_several_groups(tmp_path, monkeypatch):
    monkeypatch.setattr("concur_batch.results.table.GROUP_BYTES", 300)
    story = [segment(), *(record for i in range(20) for record in short_life(f"t{i}#0", i))]
    write_results(tmp_path, ListJournal(story))
    assert pq.ParquetFile(tmp_path / "results.parquet").num_row_groups > 2
    assert [row["id"] for row in rows(tmp_path)] == [f"t{i}" for i in range(20)]


@pytest.mark.parametrize(
    "long",
    [
        {"started": {"metadata": {"patch": "x" * 300}}},
        {"started": {"target": "x" * 300}},
        {"ended": {"error": r.ErrorInfo(error_class="tool", message="x" * 300)}},
    ],
    ids=["metadata", "target", "error"],
)
def test_whatever_is_long_is_written_in_several_groups(tmp_path, monkeypatch, long):
    monkeypatch.setattr("concur_batch.results.table.GROUP_BYTES", 500)
    lives = [
        (start(f"t{i}#0", i, messages=[], **long.get("started", {})), end(f"t{i}#0", "error", **long.get("ended", {})))
        for i in range(20)
    ]
    write_results(tmp_path, ListJournal([segment(), *(record for life in lives for record in life)]))
    assert pq.ParquetFile(tmp_path / "results.parquet").num_row_groups == 10
