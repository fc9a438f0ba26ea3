"""Log probabilities on their way from the journal to what users read."""

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from journals import EPOCH, ListJournal, end, reply, segment, short_life, start, tool

from concur_batch.results.collection import JournalCollection
from concur_batch.results.export import exporting
from concur_batch.results.index import Trace
from concur_batch.results.openai_batch import batch_line
from concur_batch.results.parquet_collection import ParquetCollection
from concur_batch.results.rows import result_row
from concur_batch.results.writer import write_results


def told(token):
    return {"content": [{"token": token, "logprob": -0.25, "bytes": [104], "top_logprobs": []}]}


STORY = [
    segment(),
    start("a#0"),
    reply("a#0", 1, base=1, calls=["c"], logprobs=told("look")),
    tool("a#0", 2, "seen", call_id="c"),
    reply("a#0", 3, after=1, base=2, new=[2], content="hm"),
    reply("a#0", 4, after=3, base=4, content="done", logprobs=told("done")),
    end("a#0", output="done", n_steps=3),
    *short_life("b#0", 1),
]


def test_there_is_one_entry_per_model_call_in_every_form(tmp_path):
    write_results(tmp_path, ListJournal(STORY), output_format="jsonl")
    a, b = pq.read_table(tmp_path / "results.parquet").column("logprobs").to_pylist()
    assert [call and json.loads(call) for call in a] == [told("look"), None, told("done")]
    assert b is None
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [line["logprobs"] for line in lines] == [[told("look"), None, told("done")], None]
    assert not any("logprobs" in message for line in lines for message in line["messages"])
    read_back = [found.row() for found in ParquetCollection(tmp_path / "results.parquet")]
    assert read_back == [found.row() for found in JournalCollection(ListJournal(STORY))]


def test_a_call_that_is_in_the_journal_twice_has_one_entry():
    """Calls at once end in any order, and one of which lines were lost is made again."""
    records = [
        start("a#0"),
        reply("a#0", 2, base=1, logprobs=told("second")),
        reply("a#0", 1, base=1, logprobs=told("lost")),
        reply("a#0", 1, base=1, logprobs=told("first")),
        end("a#0", n_steps=2),
    ]
    assert result_row("a#0", Trace(index=0, k=0), records).logprobs == [told("first"), told("second")]


def test_results_of_an_older_version_have_none(tmp_path):
    write_results(tmp_path, ListJournal(STORY))
    table = pq.read_table(tmp_path / "results.parquet").drop_columns(["logprobs"])
    pq.write_table(table, tmp_path / "old.parquet")
    assert [found.row().logprobs for found in ParquetCollection(tmp_path / "old.parquet")] == [None, None]


def test_long_ones_fill_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr("concur_batch.results.table.GROUP_BYTES", 2_000)
    long = {"content": [told("x")["content"][0]] * 50}
    lives = [[start(f"t{i}#0", i), reply(f"t{i}#0", 1, base=1, logprobs=long), end(f"t{i}#0")] for i in range(6)]
    write_results(tmp_path, ListJournal([segment(), *(record for life in lives for record in life)]))
    assert pq.ParquetFile(tmp_path / "results.parquet").num_row_groups == 6


def test_the_column_is_a_list_of_texts_also_where_nobody_has_any(tmp_path):
    write_results(tmp_path, ListJournal([segment(), *short_life("a#0")]))
    assert pq.read_schema(tmp_path / "results.parquet").field("logprobs").type == pa.list_(pa.string())


def test_csv_leaves_them_out():
    file = io.BytesIO()
    with exporting(file, "csv", lambda _: None) as write:
        for found in JournalCollection(ListJournal(STORY)):
            write(found.row())
    first, _ = csv.DictReader(io.StringIO(file.getvalue().decode(), newline=""))
    assert "logprobs" not in first
    assert first["output"] == "done"


@pytest.mark.parametrize(
    ("output", "status", "expected"),
    [
        ("done", "completed", told("done")),
        (None, "max_steps", told("done")),
        ("what the agent made of it", "completed", None),
    ],
)
def test_a_batch_line_has_those_of_its_answer(output, status, expected):
    records = [
        start("a#0"),
        reply("a#0", 1, base=1, content="done", logprobs=told("done")),
        end("a#0", status, output=output, n_steps=1),
    ]
    line = batch_line(result_row("a#0", Trace(index=0, k=0, started=EPOCH, finished=EPOCH), records))
    assert line["response"]["body"]["choices"][0]["logprobs"] == expected
