"""Token ids on their way from the journal to what users read."""

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from journals import ListJournal, end, reply, segment, short_life, start, tool

from concur_batch.results.collection import JournalCollection
from concur_batch.results.export import exporting
from concur_batch.results.index import Trace
from concur_batch.results.parquet_collection import ParquetCollection
from concur_batch.results.rows import result_row
from concur_batch.results.writer import write_results

COLUMNS = ["prompt_token_ids", "response_token_ids"]
STORY = [
    segment(),
    start("a#0"),
    reply("a#0", 1, base=1, calls=["c"], prompt_token_ids=[1, 2], response_token_ids=[3]),
    tool("a#0", 2, "seen", call_id="c"),
    reply("a#0", 3, after=1, base=2, new=[2], content="hm"),
    reply("a#0", 4, after=3, base=4, content="done", prompt_token_ids=[1, 2, 3, 151_643], response_token_ids=[]),
    end("a#0", output="done", n_steps=3),
    *short_life("b#0", 1),
    start("c#0", 2),
    reply("c#0", 1, base=1, prompt_token_ids=[7]),
    end("c#0", n_steps=1),
]
PROMPTS, RESPONSES = [[[1, 2], None, [1, 2, 3, 151_643]], None, [[7]]], [[[3], None, []], None, None]


def test_there_is_one_list_per_model_call_in_every_form(tmp_path):
    write_results(tmp_path, ListJournal(STORY), output_format="jsonl")
    table = pq.read_table(tmp_path / "results.parquet")
    assert [table.column(name).to_pylist() for name in COLUMNS] == [PROMPTS, RESPONSES]
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [[line[name] for line in lines] for name in COLUMNS] == [PROMPTS, RESPONSES]
    assert not any(set(COLUMNS) & set(message) for line in lines for message in line["messages"])
    read_back = [found.row() for found in ParquetCollection(tmp_path / "results.parquet")]
    assert read_back == [found.row() for found in JournalCollection(ListJournal(STORY))]


@pytest.mark.parametrize("story", [STORY, [segment(), *short_life("a#0")]])
def test_the_columns_are_lists_of_lists_of_numbers_whoever_has_any(story, tmp_path):
    write_results(tmp_path, ListJournal(story))
    schema = pq.read_schema(tmp_path / "results.parquet")
    assert all(schema.field(name).type == pa.list_(pa.list_(pa.int32())) for name in COLUMNS)


def test_a_call_that_is_in_the_journal_twice_has_one_list():
    records = [
        start("a#0"),
        reply("a#0", 2, base=1, response_token_ids=[2]),
        reply("a#0", 1, base=1, response_token_ids=[0]),
        reply("a#0", 1, base=1, response_token_ids=[1]),
        end("a#0", n_steps=2),
    ]
    assert result_row("a#0", Trace(index=0, k=0), records).response_token_ids == [[1], [2]]


def test_results_of_an_older_version_have_none(tmp_path):
    write_results(tmp_path, ListJournal(STORY))
    pq.write_table(pq.read_table(tmp_path / "results.parquet").drop_columns(COLUMNS), tmp_path / "old.parquet")
    rows = [found.row() for found in ParquetCollection(tmp_path / "old.parquet")]
    assert {(row.prompt_token_ids, row.response_token_ids) for row in rows} == {(None, None)}


def test_long_ones_fill_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr("concur_batch.results.table.GROUP_BYTES", 2_000)
    long = list(range(400))
    lives = [[start(f"t{i}#0", i), reply(f"t{i}#0", 1, base=1, prompt_token_ids=long), end(f"t{i}#0")] for i in range(6)]
    write_results(tmp_path, ListJournal([segment(), *(record for life in lives for record in life)]))
    assert pq.ParquetFile(tmp_path / "results.parquet").num_row_groups == 6


def test_csv_leaves_them_out():
    file = io.BytesIO()
    with exporting(file, "csv", lambda _: None) as write:
        for found in JournalCollection(ListJournal(STORY)):
            write(found.row())
    first, *_ = csv.DictReader(io.StringIO(file.getvalue().decode(), newline=""))
    assert not set(COLUMNS) & set(first)
    assert first["output"] == "done"
