import gzip
import io
import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from concur_batch.errors import InputError
from concur_batch.jobs.faults import JobFaults
from concur_batch.jobs.load import LoadOptions, load
from concur_batch.task import MOST_ROLLOUTS


def faults(*named, **options):
    with pytest.raises(JobFaults) as caught:
        load(named, LoadOptions(**options))
    return str(caught.value).splitlines()


def test_tasks_and_rollouts_are_counted(write):
    name = write({"id": "a", "prompt": "x"}, {"id": "b", "prompt": "x", "n": 5}, {"prompt": "x", "note": 1})
    with load([name], LoadOptions(n=2)) as job:
        assert (job.tasks, job.rollouts) == (3, 9)
        assert [job.n(task) for task in job] == [2, 5, 2]
        assert job.warnings == (
            f"{name}:3: note: unknown column, kept in metadata; what is to be passed through belongs in metadata",
        )


def test_so_many_rollouts_are_counted_and_not_gone_through(write):
    with load([write(*({"prompt": str(i)} for i in range(50)))], LoadOptions(n=MOST_ROLLOUTS, shuffle=1)) as job:
        assert (job.tasks, job.rollouts) == (50, 50_000_000)


def test_all_rows_are_checked_and_twenty_faults_told(write):
    rows = [{"prompt": "x"}] * 5 + ["{broken"] + [{"n": 0, "prompt": "x"}] * 30
    lines = faults(write(*rows), limit=1)
    assert lines[0].startswith(f"{write(*rows)}:6: broken JSON at column 2")
    assert lines[1].endswith(":7: n: is 0; should be greater than or equal to 1")
    assert len(lines) == 21
    assert lines[-1] == "and 11 more"


def test_doubled_ids_name_both_places_also_across_files(write):
    first = write({"id": "a", "prompt": "x"}, {"id": "b", "prompt": "x"}, name="1.jsonl")
    second = write({"prompt": "x"}, "", {"task_id": "b", "prompt": "y"}, name="2.jsonl")
    assert faults(first, second) == [f'{second}:3: id: "b" already stands at {first}:2; every task needs an id of its own']


def test_many_doubles_are_counted(write):
    lines = faults(write(*[{"id": "a", "prompt": "x"}] * 40))
    assert len(lines) == 21
    assert lines[-1] == "and 19 more"


def test_rows_without_id_are_told_apart_by_content_and_occurrence(write, tasks):
    name = write({"prompt": "x"}, {"prompt": "y"}, {"prompt": "x"}, {"prompt": "x", "metadata": {"k": 1}})
    x, y, x2, x3 = (task.id for task in tasks(name))
    assert (x2, x3) == (f"{x}-2", f"{x}-3")
    assert y != x


def test_filter_shuffle_and_limit_come_in_this_order(write, tasks):
    name = write(*({"id": f"t{i}", "prompt": "x", "n": i + 1} for i in range(20)))
    assert [task.id for task in tasks(name, filter="^t1", limit=3)] == ["t1", "t10", "t11"]
    shuffled = [task.id for task in tasks(name, filter="^t1", shuffle=1)]
    assert sorted(shuffled) == sorted(["t1", *(f"t1{i}" for i in range(10))])
    assert shuffled != sorted(shuffled)
    with load([name], LoadOptions(filter="^t1", shuffle=1, limit=3)) as job:
        taken = list(job)
        assert [task.id for task in taken] == shuffled[:3]
        assert (job.tasks, job.rollouts) == (3, sum(int(task.id[1:]) + 1 for task in taken))
        assert [task.index for task in taken] == [int(task.id[1:]) for task in taken]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"filter": "zzz"}, "no task is selected: --filter 'zzz' matches no id; correct it or leave it out"),
        ({"filter": "("}, "--filter '(' is not a regular expression"),
        ({"limit": 0}, "--limit 0 leaves no task"),
    ],
)
def test_a_selection_of_nothing_is_refused(write, options, text):
    with pytest.raises(InputError) as caught:
        load([write({"prompt": "x"})], LoadOptions(**options))
    assert str(caught.value).startswith(text)


def test_a_file_of_blank_lines_has_no_rows(write):
    name = write("", " ")
    assert faults(name) == [f"{name}: has no rows; should hold at least one task"]


def test_standard_input_is_kept_in_the_spool_and_read_again(tmp_path):
    with load(["-"], LoadOptions(), spool=tmp_path, stdin=io.BytesIO(b'{"prompt": "x"}\n')) as job:
        assert [task.source for task in job] == ["stdin:1"]
    with load(["-"], LoadOptions(), spool=tmp_path, stdin=io.BytesIO(b"")) as job:
        assert job.tasks == 1
    assert [path.name for path in tmp_path.iterdir()] == ["stdin.jsonl"]


def test_what_was_spooled_for_a_shuffle_is_removed_also_after_a_fault(tmp_path):
    spool = tmp_path / "spool"
    spool.mkdir()
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(json.dumps({"id": str(i), "prompt": "x"}).encode() + b"\n" for i in range(9))))
    with load([str(path)], LoadOptions(shuffle=1), spool=spool, with_index=True) as job:
        assert len(list(spool.iterdir())) == 2
        assert sorted(task.id for task in job) == [str(i) for i in range(9)]
    assert not list(spool.iterdir())
    path.write_bytes(gzip.compress(b'{"prompt": "x"}\n{}\n'))
    with pytest.raises(JobFaults):
        load([str(path)], LoadOptions(shuffle=1), spool=spool, with_index=True)
    assert not list(spool.iterdir())


def test_a_spool_that_cannot_be_written_is_one_sentence(write, tmp_path):
    with pytest.raises(InputError, match=r"gone: cannot be written \(No such file or directory\)"):
        load([write({"prompt": "x"})], LoadOptions(), spool=tmp_path / "gone", with_index=True)


def test_faults_in_parquet_name_the_row(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"prompt": ["x", "y"], "n": [1, 0]}), path)
    assert faults(str(path)) == [f"{path}:row 2: n: is 0; should be greater than or equal to 1"]


def test_ids_that_a_table_made_floats_are_whole_numbers(tmp_path, tasks):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"prompt": ["x", "y"], "id": [7.0, float("nan")]}), path)
    first, second = tasks(str(path))
    assert first.id == "7"
    assert second.id == second.fingerprint


def test_reading_json_lines_loads_no_table_library():
    program = "import sys, concur_batch.jobs.load; sys.exit(bool({'pyarrow', 'zstandard', 'openai'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


def test_a_double_is_told_also_where_one_of_the_two_is_faulty_otherwise(write):
    """Whoever mends what is told in one round shall not meet the next fault of the same rows in another."""
    name = write(
        {"id": "a", "prompt": "x", "n": 0}, {"id": "a", "prompt": "y"}, {"id": 7, "prompt": "x"}, {"task_id": "7"}, {"id": 1.5}, {"id": 1.5}
    )  # fmt: skip
    assert faults(name) == [
        f"{name}:1: n: is 0; should be greater than or equal to 1",
        f'{name}:2: id: "a" already stands at {name}:1; every task needs an id of its own',
        f"{name}:4: prompt: is missing; give prompt (text) or messages (a list)",
        f'{name}:4: id: "7" already stands at {name}:3; every task needs an id of its own',
        *(
            f"{name}:{line}: {told}"
            for line in (5, 6)
            for told in (
                "id: is 1.5; should be text or a whole number",
                "prompt: is missing; give prompt (text) or messages (a list)",
            )
        ),
    ]


def test_a_double_among_many_faults_takes_its_place_among_the_first_twenty(write):
    name = write({"id": "a", "prompt": "x"}, {"id": "a", "prompt": "x"}, *({"id": f"b{i}"} for i in range(20)))
    told = faults(name)
    assert f"{name}:2: id: " in told[0]
    assert told[19].startswith(f"{name}:21: prompt")
    assert told[20:] == ["and 1 more"]


def test_all_that_is_wrong_in_a_sampling_is_told(write):
    name = write({"prompt": "x", "sampling": {"temperature": -1, "stream": True, "extra_body": {"n": 2, "seed": "a"}}})
    told = [line.split(": ")[1] for line in faults(name)]
    assert told == ["sampling.temperature", "sampling.extra_body.seed", "sampling.stream", "sampling.extra_body.n"]
