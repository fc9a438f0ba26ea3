import gzip
import json
import math
from fractions import Fraction
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
from concur_batch.jobs.ordered import long_in_time, permutation


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


HINTS = [None, 5, 5, None, 5, 20, 60]  # a mean of 19: the last is to begin in the first seventh


def hinted_job(write, hints=HINTS):
    return write(*({"id": str(i), "prompt": "x", "expected_tokens": hint} for i, hint in enumerate(hints)))


def ids(job):
    return "".join(task.id for task in job)


def test_long_ones_come_early_enough_and_the_others_in_job_order(write, tasks):
    name = hinted_job(write)
    assert ids(tasks(name, long_in_time=True)) == "0612345"
    assert ids(tasks(name)) == "0123456"
    assert ids(tasks(name, long_in_time=True, shuffle=1)) == ids(tasks(name, shuffle=1))


def test_rows_of_all_kinds_of_files_come_in_that_order(tmp_path, tasks):
    names = mixed_job(tmp_path)
    hints = Hints(earlier=EarlierContexts((f"t{i}", 1000 if i in (15, 29) else 100) for i in range(8, 30)))
    usual = tasks(*names, hints=hints)
    order = [15, 29, *(i for i in range(30) if i not in (15, 29))]
    assert tasks(*names, hints=hints, long_in_time=True) == [usual[i] for i in order]


def test_filter_and_limit_take_what_they_take_in_job_order(write, tasks):
    name = hinted_job(write)
    assert ids(tasks(name, long_in_time=True, limit=4)) == "0123"
    assert ids(tasks(name, long_in_time=True, limit=4, filter="[1456]")) == "1645"
    assert ids(tasks(name, long_in_time=True, limit=1)) == "0"


def test_rows_without_an_id_keep_their_names_before_the_first_hint_too(write, tasks):
    rows = [{"prompt": "x"}, {"prompt": "x"}, {"prompt": "y", "expected_tokens": 5}, {"prompt": "x", "expected_tokens": 90}]
    name = write(*rows)
    usual = [task.id for task in tasks(name)]
    assert [task.id for task in tasks(name, long_in_time=True)] == [usual[i] for i in (0, 1, 3, 2)]


def test_the_index_stays_in_job_order_and_rollouts_are_counted(write, tmp_path):
    name = write(*({"id": str(i), "prompt": "x", "n": i + 1, "expected_tokens": i + 1} for i in range(3)))
    with load([name], LoadOptions(long_in_time=True), spool=tmp_path, with_index=True) as job:
        assert (job.tasks, job.rollouts, job.hinted) == (3, 6, 3)
        assert ids(job) == ids(job) == "021"
        assert ids(job.in_job_order()) == "012"
        write_index(job, tmp_path / "index")
    assert list(read_index(tmp_path / "index")) == [("0", 1), ("1", 2), ("2", 3)]


@pytest.mark.parametrize("hints", [[None] * 5, [None, None, 4]])
def test_nothing_is_kept_before_the_first_hint(write, monkeypatch, hints):
    kept, passes = [], []
    read_tasks, append = loading.read_tasks, loading.RowTable.append
    monkeypatch.setattr(loading, "read_tasks", lambda *given: passes.append(1) or read_tasks(*given))
    monkeypatch.setattr(loading.RowTable, "append", lambda table, *given: kept.append(1) or append(table, *given))
    with load([hinted_job(write, hints)], LoadOptions(long_in_time=True)) as job:
        assert len(list(job)) == len(hints)
    some = any(hints)
    assert (len(kept), len(passes)) == ((len(hints), 2) if some else (0, 1))


def test_faults_are_told_however_the_rows_are_ordered(write, tasks):
    name = write({"prompt": "x"}, {"prompt": "x", "expected_tokens": 0}, {"prompt": "x", "expected_tokens": 3})
    with pytest.raises(JobFaults, match=r":2: expected_tokens: is 0; should be greater than or equal to 1"):
        tasks(name, long_in_time=True)


@given(st.lists(st.integers(0, 9) | st.sampled_from([0, 1, 10**9 - 1]), max_size=40))
def test_every_position_once_in_time_and_none_passed_but_by_a_longer_one(expected):
    order = list(long_in_time(expected))
    assert sorted(order) == list(range(len(expected)))
    known = [tokens for tokens in expected if tokens]
    if not known:
        assert order == list(range(len(expected)))
        return
    mean = Fraction(sum(known), len(known))
    latest = [math.floor(len(expected) * (1 - (tokens or mean) / (4 * mean))) - 1 for tokens in expected]
    assert order == sorted(range(len(expected)), key=lambda position: (min(position, latest[position]), position))
    for place, position in enumerate(order):
        for later in order[place + 1 :]:
            assert later > position or (expected[later] or mean) < (expected[position] or mean)


def test_an_order_of_equals_is_that_of_the_job_and_four_times_the_mean_comes_first():
    assert list(long_in_time([7] * 20)) == list(range(20))
    assert list(long_in_time([1] * 18 + [100, 200])) == [19, 18, *range(18)]
