import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.errors import InputError
from concur_batch.jobs.difference import compare, compare_index
from concur_batch.jobs.index import Entry, write_index
from concur_batch.jobs.load import LoadOptions, load

ROWS = [{"id": f"t{i}", "prompt": f"say {i}"} for i in range(6)]


@pytest.fixture
def difference(write, tmp_path):
    def between(old, new, old_n=1, new_n=1):
        with load([write(*old, name="old.jsonl")], LoadOptions(n=old_n)) as job:
            write_index(job, tmp_path / "job.index")
        with load([write(*new, name="new.jsonl")], LoadOptions(n=new_n)) as job:
            return compare_index(tmp_path / "job.index", job)

    return between


def test_the_same_job_passes(difference):
    same = difference(ROWS, ROWS)
    same.raise_if_refused()
    assert same.refused == 0


def test_added_rows_larger_n_and_another_order_pass(difference):
    new = [{"id": "new", "prompt": "x"}, *reversed(ROWS), {"prompt": "y"}]
    difference(ROWS, new, new_n=2).raise_if_refused()


def test_changes_are_refused_line_by_line(difference, tmp_path):
    new = [ROWS[0], {**ROWS[1], "prompt": "other"}, {**ROWS[2], "metadata": {"k": 1}}, *ROWS[4:]]
    with pytest.raises(InputError) as caught:
        difference(ROWS, new).raise_if_refused()
    assert str(caught.value).splitlines() == [
        "the job is no longer the one this run was started with: 2 rows differ; put the old rows back, or start a new run",
        f'{tmp_path}/new.jsonl:2: id "t1": content changed',
        f'{tmp_path}/old.jsonl:4: id "t3": removed, or no longer among those that --limit takes',
    ]


def test_n_may_not_shrink(difference):
    with pytest.raises(InputError, match=r'new.jsonl:1: id "t0": n shrank from 3 to 2; it may only grow'):
        difference(ROWS[:1], ROWS[:1], old_n=3, new_n=2).raise_if_refused()


def test_twenty_lines_are_told(difference):
    old = [{"id": str(i), "prompt": "x"} for i in range(50)]
    new = [{"id": str(i), "prompt": "y"} for i in range(50)]
    with pytest.raises(InputError) as caught:
        difference(old, new).raise_if_refused()
    lines = str(caught.value).splitlines()
    assert len(lines) == 22
    assert lines[-1] == "and 30 more"


ENTRIES = st.dictionaries(st.sampled_from("abcdefgh"), st.tuples(st.sampled_from("xy"), st.integers(1, 2))).flatmap(
    lambda rows: st.permutations([Entry(digits, n, name, f"j:{name}") for name, (digits, n) in rows.items()])
)


@given(ENTRIES, ENTRIES)
def test_side_by_side_finds_what_a_dictionary_finds(old, new):
    before, after = {entry.id: entry for entry in old}, {entry.id: entry for entry in new}
    both = before.keys() & after.keys()
    changed = {i for i in both if before[i].fingerprint != after[i].fingerprint}
    shrunk = {i for i in both - changed if after[i].n < before[i].n}
    assert compare(old, new).refused == len(changed) + len(shrunk) + len(before.keys() - after.keys())
