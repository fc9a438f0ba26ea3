import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from journals import ListJournal, end, reply, segment, short_life, start

from concur_batch.errors import RunDirectoryError
from concur_batch.results.contexts import contexts
from concur_batch.results.writer import write_results


def test_rollouts_tell_the_context_of_their_last_reply_and_failed_ones_nothing(tmp_path):
    story = [
        segment(),
        *short_life("a#0", 0),
        start("a#1", 0),
        reply("a#1", 1, base=1, prompt_tokens=10, completion_tokens=5),
        reply("a#1", 2, after=1, base=2, prompt_tokens=40, completion_tokens=7),
        end("a#1", "max_steps"),
        *short_life("b#0", 1, "error"),
        start("c#0", 2),
        end("c#0", "timeout"),
        *short_life("d#0", 3, "context_length"),
        start("e#0", 4),
        reply("e#0", 1, base=1),
    ]
    write_results(tmp_path, ListJournal(story))
    assert list(contexts(tmp_path)) == [("a", 12), ("a", 47), ("d", 12)]


def test_what_has_no_results_is_one_sentence(tmp_path):
    with pytest.raises(RunDirectoryError, match="has no results yet"):
        list(contexts(tmp_path / "nowhere"))
    (tmp_path / "results.parquet").write_text("no such thing")
    with pytest.raises(RunDirectoryError, match=r"results\.parquet: cannot be read \(") as caught:
        list(contexts(tmp_path))
    assert "\n" not in str(caught.value)
    pq.write_table(pa.table({"id": ["a"], "status": ["completed"]}), tmp_path / "results.parquet")
    with pytest.raises(RunDirectoryError, match="has no column context_tokens; `concur resume"):
        list(contexts(tmp_path))
