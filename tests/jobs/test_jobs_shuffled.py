import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.jobs.shuffled import permutation


def rows(start, stop):
    return [{"id": f"t{i}", "prompt": f"say {i}", "metadata": {"i": i}} for i in range(start, stop)]


def mixed_job(folder: Path) -> list[str]:
    """Three kinds of files, ten rows each."""
    plain, packed, table = folder / "a.jsonl", folder / "b.jsonl.gz", folder / "c.parquet"
    plain.write_text("\n\n".join(json.dumps(row) for row in rows(0, 10)), encoding="utf-8-sig")
    packed.write_bytes(gzip.compress("\n".join(json.dumps(row) for row in rows(10, 20)).encode()))
    pq.write_table(pa.Table.from_pylist(rows(20, 30)), table)
    return [str(plain), str(packed), str(table)]


def test_the_same_tasks_come_in_another_order_that_the_seed_decides(tmp_path, tasks):
    names = mixed_job(tmp_path)
    usual = tasks(*names)
    shuffled = tasks(*names, shuffle=7)
    assert [task.index for task in usual] == list(range(30))
    assert shuffled != usual
    assert sorted(shuffled, key=lambda task: task.index) == usual
    assert tasks(*names, shuffle=7) == shuffled
    assert tasks(*names, shuffle=8) != shuffled


def test_rows_without_id_keep_their_names(write, tasks):
    name = write(*({"prompt": "x"} for _ in range(12)), {"prompt": "y"})
    assert sorted(task.id for task in tasks(name, shuffle=3)) == sorted(task.id for task in tasks(name))


@given(st.integers(0, 50), st.integers(), st.none() | st.integers(1, 60))
def test_a_permutation_has_every_position_once(count, seed, limit):
    order = permutation(count, seed, None)
    assert sorted(order) == list(range(count))
    assert permutation(count, seed, limit) == (order if limit is None else order[:limit])
