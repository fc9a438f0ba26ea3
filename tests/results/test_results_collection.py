import pyarrow.parquet as pq
import pytest
from journals import EPOCH, ListJournal, end, reply, segment, short_life, start, tool

from concur_batch import records as r
from concur_batch.errors import RunDirectoryError
from concur_batch.results.collection import JournalCollection
from concur_batch.results.parquet_collection import ParquetCollection
from concur_batch.results.selection import Head
from concur_batch.results.writer import write_results

FAILED = r.ErrorInfo(error_class="tool", message="no")
STORY = [
    segment(),
    r.BatchLoaded(t=0.0, tasks=4, rollouts=5),
    *short_life("b#0", 1, output="yes"),
    start("a#0", metadata={"x": 1}, target=[2]),
    reply("a#0", 1, base=1, calls=["c"]),
    tool("a#0", 2, call_id="c"),
    end("a#0", "error", error=FAILED, wall_s=2.5),
    start("c#0", 2),
    *short_life("a#1"),
]


def of_journal(records=STORY, order=None):
    return JournalCollection(ListJournal(records), order)


def test_where_it_went_on_on_another_engine_the_model_is_that_of_its_end():
    went_on = r.RolloutStarted(t=1.0, rollout="a#0", engine="f", task="a", k=0, index=0, seed=7, model="other", resumed=True)
    at_end = r.RolloutFinished(t=4.0, rollout="a#0", engine="f", status="completed")
    (one,) = of_journal([segment(), start("a#0"), segment(), went_on, at_end])
    assert (one.row().model, one.row().endpoint) == ("other", "f")


def test_both_tell_the_same_in_job_order(tmp_path):
    write_results(tmp_path, ListJournal(STORY))
    heads = [Head("a", 0, "error", "tool"), Head("a", 1, "completed", None), Head("b", 0, "completed", None)]
    journal, parquet = of_journal(), ParquetCollection(tmp_path / "results.parquet", 2)
    assert (journal.unended, parquet.unended) == (2, 2)
    rows = [[(one.head, one.row()) for one in collection] for collection in (journal, parquet)]
    assert rows[0] == rows[1]
    assert [head for head, _ in rows[0]] == heads
    row = rows[0][0][1]
    assert (row.metadata, row.target, row.error.message, row.started_at.timestamp()) == ({"x": 1}, [2], "no", EPOCH + 1)


def test_the_order_of_the_job_goes_first():
    assert [one.head.rollout for one in of_journal(order=[("b", 1), ("a", 2)])] == ["b#0", "a#0", "a#1"]


def test_a_rollout_that_is_tried_again_has_not_ended():
    again = of_journal([*STORY, start("a#0", attempt=2)])
    assert again.unended == 3
    assert [one.head.rollout for one in again] == ["a#1", "b#0"]


def test_an_empty_journal():
    assert list(of_journal([])) == []


def test_rows_of_many_chunks_and_groups(tmp_path):
    story = [segment(), *(record for i in range(150) for record in short_life(f"t{i:03}#0", i, output=str(i)))]
    write_results(tmp_path, ListJournal(story))
    path = tmp_path / "results.parquet"
    pq.write_table(pq.read_table(path), path, row_group_size=70)
    collection = ParquetCollection(path)
    assert [one.row().output for one in collection if int(one.head.id[1:]) % 3 == 0] == [str(i) for i in range(0, 150, 3)]


def test_a_file_of_an_older_version_lacks_one_column(tmp_path):
    write_results(tmp_path, ListJournal(STORY))
    path = tmp_path / "results.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["context_tokens"]), path)
    assert [one.row().context_tokens for one in ParquetCollection(path)] == [None] * 3


@pytest.mark.parametrize("content", [b"", b"PAR1 no", None])
def test_what_is_no_results_file_is_one_sentence(tmp_path, content):
    path = tmp_path / "results.parquet"
    if content is None:
        write_results(tmp_path, ListJournal(STORY))
        pq.write_table(pq.read_table(path).drop_columns(["usage"]), path)
    else:
        path.write_bytes(content)
    with pytest.raises(RunDirectoryError, match=r"results\.parquet: cannot be read .* no journal to take its rows from"):
        ParquetCollection(path)
    with pytest.raises(RunDirectoryError, match=r"results\.parquet: cannot be read .*; remove it, and its rows are taken"):
        ParquetCollection(path, has_journal=True)
