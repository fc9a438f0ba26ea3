import gzip
import json
import math
import statistics
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from concur_batch.jobs import load as loading
from concur_batch.jobs.faults import JobFaults
from concur_batch.jobs.hints import EarlierContexts, Hints
from concur_batch.jobs.index import read_index, write_index
from concur_batch.jobs.load import LoadOptions, load
from concur_batch.jobs.ordered import longest_first, permutation


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


class Points(BaseModel):
    xs: list[float]


def test_nan_in_a_table_is_still_one_in_another_order(tmp_path, tasks):
    table = tmp_path / "points.parquet"
    pq.write_table(pa.table({"id": ["a", "b"], "xs": [[math.nan, 1.5], [0.1]], "größe": [1, 2]}), table)
    found = tasks(str(table), shuffle=1, agent_schema=lambda _: Points)
    assert {task.id: str(task.fields["xs"]) for task in found} == {"a": "[nan, 1.5]", "b": "[0.1]"}
    assert {task.id: task.metadata for task in found} == {"a": {"größe": 1}, "b": {"größe": 2}}


def test_rows_without_id_keep_their_names(write, tasks):
    name = write(*({"prompt": "x"} for _ in range(12)), {"prompt": "y"})
    assert sorted(task.id for task in tasks(name, shuffle=3)) == sorted(task.id for task in tasks(name))


@given(st.integers(0, 50), st.integers(), st.none() | st.integers(1, 60))
def test_a_permutation_has_every_position_once(count, seed, limit):
    order = permutation(count, seed, None)
    assert sorted(order) == list(range(count))
    assert permutation(count, seed, limit) == (order if limit is None else order[:limit])


HINTS = [None, 5, 9, None, 7, 9, None]  # a mean of 7.5


def hinted_job(write, hints=HINTS):
    return write(*({"id": str(i), "prompt": "x", "expected_tokens": hint} for i, hint in enumerate(hints)))


def ids(job):
    return "".join(task.id for task in job)


def test_the_longest_come_first_and_those_without_a_hint_where_the_mean_is(write, tasks):
    name = hinted_job(write)
    assert ids(tasks(name, longest_first=True)) == "2503641"
    assert ids(tasks(name)) == "0123456"
    assert ids(tasks(name, longest_first=True, shuffle=1)) == ids(tasks(name, shuffle=1))


def test_rows_of_all_kinds_of_files_come_longest_first(tmp_path, tasks):
    names = mixed_job(tmp_path)
    hints = Hints(earlier=EarlierContexts((f"t{i}", 100 + i % 7) for i in range(8, 30)))
    usual = tasks(*names, hints=hints)
    mean = statistics.mean(task.expected_tokens for task in usual[8:])
    order = sorted(range(30), key=lambda i: -(usual[i].expected_tokens or mean))
    assert tasks(*names, hints=hints, longest_first=True) == [usual[i] for i in order]


def test_filter_and_limit_take_what_they_take_in_job_order(write, tasks):
    name = hinted_job(write)
    assert ids(tasks(name, longest_first=True, limit=4)) == "2031"
    assert ids(tasks(name, longest_first=True, limit=3, filter="[1456]")) == "541"
    assert ids(tasks(name, longest_first=True, limit=1)) == "0"


def test_rows_without_an_id_keep_their_names_before_the_first_hint_too(write, tasks):
    rows = [{"prompt": "x"}, {"prompt": "x"}, {"prompt": "y", "expected_tokens": 5}, {"prompt": "x", "expected_tokens": 9}]
    name = write(*rows)
    usual = [task.id for task in tasks(name)]
    assert [task.id for task in tasks(name, longest_first=True)] == [usual[i] for i in (3, 0, 1, 2)]


def test_the_index_stays_in_job_order_and_rollouts_are_counted(write, tmp_path):
    name = write(*({"id": str(i), "prompt": "x", "n": i + 1, "expected_tokens": i + 1} for i in range(3)))
    with load([name], LoadOptions(longest_first=True), spool=tmp_path, with_index=True) as job:
        assert (job.tasks, job.rollouts, job.hinted) == (3, 6, 3)
        assert ids(job) == ids(job) == "210"
        assert ids(job.in_job_order()) == "012"
        write_index(job, tmp_path / "index")
    assert list(read_index(tmp_path / "index")) == [("0", 1), ("1", 2), ("2", 3)]


@pytest.mark.parametrize("hints", [[None] * 5, [None, None, 4]])
def test_nothing_is_kept_before_the_first_hint(write, monkeypatch, hints):
    kept, passes = [], []
    read_tasks, append = loading.read_tasks, loading.RowTable.append
    monkeypatch.setattr(loading, "read_tasks", lambda *given: passes.append(1) or read_tasks(*given))
    monkeypatch.setattr(loading.RowTable, "append", lambda table, *given: kept.append(1) or append(table, *given))
    with load([hinted_job(write, hints)], LoadOptions(longest_first=True)) as job:
        assert len(list(job)) == len(hints)
    some = any(hints)
    assert (len(kept), len(passes)) == ((len(hints), 2) if some else (0, 1))


def test_faults_are_told_however_the_rows_are_ordered(write, tasks):
    name = write({"prompt": "x"}, {"prompt": "x", "expected_tokens": 0}, {"prompt": "x", "expected_tokens": 3})
    with pytest.raises(JobFaults, match=r":2: expected_tokens: is 0; should be greater than or equal to 1"):
        tasks(name, longest_first=True)


@given(st.lists(st.integers(0, 9) | st.sampled_from([0, 1, 10**9 - 1])))
def test_every_position_once_and_never_a_longer_one_later(expected):
    order = longest_first(expected)
    assert sorted(order) == list(range(len(expected)))
    known = [expected[position] for position in order if expected[position]]
    assert known == sorted(known, reverse=True)
    unknown = [position for position in order if not expected[position]]
    assert unknown == sorted(unknown)
    if known:
        mean = sum(known) / len(known)
        by_key = sorted(range(len(expected)), key=lambda position: expected[position] or mean, reverse=True)
        assert list(order) == by_key
