from datetime import UTC, datetime

import msgspec
import pyarrow.parquet as pq
from journals import EPOCH, ListJournal, segment

from concur_batch import records as r
from concur_batch.results import series
from concur_batch.results.writer import write_results


def written(tmp_path, records):
    write_results(tmp_path, ListJournal(records))
    return pq.read_table(tmp_path / "series.parquet").to_pylist()


def test_each_sample_stands_beside_the_decision_that_followed_it(tmp_path):
    rows = written(
        tmp_path,
        [
            segment(),
            r.Decided(t=0.0, engine="a", agents=8, reason="first"),
            r.Sampled(t=1.0, engine="a", locked=0.5, steps=3),
            r.Sampled(t=1.0, engine="b", locked=0.9),
            r.Decided(t=1.01, engine="b", requests=4, reason="cut"),
            r.Decided(t=1.01, engine="a", agents=9, reason="grow"),
            r.Sampled(t=2.0, engine="a", stale=True),
        ],
    )
    facts = [(row["engine"], row["elapsed_s"], row["locked"], row["limit_agents"], row["reason"]) for row in rows]
    assert facts == [
        ("a", 0.0, None, 8, "first"),
        ("b", 1.0, 0.9, None, "cut"),
        ("a", 1.0, 0.5, 9, "grow"),
        ("a", 2.0, None, None, None),
    ]
    assert (rows[1]["limit_requests"], rows[2]["steps"], rows[3]["stale"]) == (4, 3, True)


def test_time_goes_on_over_segments(tmp_path):
    rows = written(
        tmp_path,
        [segment(), r.Sampled(t=5.0, engine="a"), segment(EPOCH + 100), r.Sampled(t=2.0, engine="a")],
    )
    assert [(row["segment"], row["elapsed_s"]) for row in rows] == [(1, 5.0), (2, 7.0)]
    assert rows[1]["time"] == datetime.fromtimestamp(EPOCH + 102, UTC).replace(tzinfo=None)


def test_no_field_of_a_sample_is_left_out():
    fields = {field.name for field in msgspec.structs.fields(r.Sampled)}
    assert fields - {"v", "t"} <= {name for name, _ in series.COLUMNS}
