"""What is expected of tasks: from rows, an earlier run or the truth of a simulation, and the order in which they start."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from forked import PIPE, Program, concur

from concur_batch.cli import hints, parts
from concur_batch.cli.agents import Agents
from concur_batch.cli.run.batch import take_up
from concur_batch.cli.trial import simulate
from concur_batch.config import resolve
from concur_batch.errors import InputError, RunDirectoryError
from concur_batch.jobs.load import LoadOptions, load
from concur_batch.jobs.ordered import long_in_time
from concur_batch.journal.reader import JournalReader
from concur_batch.records import RolloutStarted
from concur_batch.sim.tasks import tasks
from concur_batch.sim.workload import WorkloadParameters, generate

FORECAST = ("--controller", "forecast")
LENGTHS = [30, 900, 200, 900, 60]  # tokens of the replies


def config(**keys):
    return resolve({key.replace("__", "."): value for key, value in keys.items()}, [], None, {})


def ended(folder, *arguments, code=0):
    done = concur(*arguments, cwd=folder)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


@pytest.fixture
def job(tmp_path):
    path = tmp_path / "job.jsonl"
    rows = [{"id": f"t{i}", "prompt": "x", "tools": [], "script": [{"tokens": tokens}]} for i, tokens in enumerate(LENGTHS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(folder, job, out, *more, code=0):
    return ended(
        folder, "run", job.name, "--out", out, "--no-live", "--max-agents", 1, "--set", "sim.speed=300", *more, code=code
    )


def started(folder):
    return [x.rollout for x in JournalReader(folder).records() if isinstance(x, RolloutStarted)]


@pytest.fixture
def earlier(tmp_path, job):
    run(tmp_path, job, "earlier")
    return tmp_path / "earlier"


@pytest.mark.parametrize(
    ("keys", "orders"),
    [
        ({"controller__name": "forecast"}, True),
        ({"controller__name": "aimd"}, False),
        ({"controller__name": "forecast", "run__order": "job"}, False),
        ({"controller__name": "forecast", "run__shuffle": 0}, False),
    ],
)
def test_hints_order_under_a_policy_that_uses_them_and_where_no_other_order_is_asked_for(keys, orders):
    assert hints.are_ordering(config(**keys)) is orders


def test_an_earlier_run_tells_how_long_tasks_are(tmp_path, job, earlier):
    rows = pq.read_table(earlier / "results.parquet").to_pylist()
    assert [row["context_tokens"] - row["usage"]["prompt_tokens"] for row in rows] == LENGTHS
    told = run(tmp_path, job, "next", *FORECAST, "--history", "earlier", "-n", 2)
    assert "long tasks start earlier, by the expected tokens of 5 of 5" in told
    assert started(tmp_path / "next") == [f"t{i}#{k}" for i in (0, 1, 3, 2, 4) for k in range(2)]
    rows = pq.read_table(tmp_path / "next" / "results.parquet").to_pylist()
    assert [(row["id"], row["rollout"]) for row in rows] == [(f"t{i}", k) for i in range(5) for k in range(2)]
    saved = json.loads((tmp_path / "next" / "config.json").read_text())["config"]
    assert saved["run"]["history"] == str(earlier)
    assert not (tmp_path / "next" / "ordered-rows.jsonl").exists()


def test_of_the_order_of_one_task_nothing_is_said(tmp_path, job, earlier):
    assert "start earlier" not in run(tmp_path, job, "next", *FORECAST, "--history", "earlier", "--limit", 1)
    assert "of 2 of 2; " in run(tmp_path, job, "two", *FORECAST, "--history", "earlier", "--limit", 2)


@pytest.mark.parametrize(
    "more",
    [("--controller", "aimd", "--history", "earlier"), FORECAST, (*FORECAST, "--history", "earlier", "--set", "run.order=job")],
)
def test_else_tasks_start_in_job_order(tmp_path, job, earlier, more):
    told = run(tmp_path, job, "next", *more)
    assert "start earlier" not in told
    assert started(tmp_path / "next") == [f"t{i}#0" for i in range(5)]


def test_a_run_goes_on_in_the_same_order_from_another_folder(tmp_path, job, earlier, monkeypatch):
    slow = ("--no-live", "--max-agents", "1", "--set", "sim.speed=5")
    ran = Program(
        "run", job.name, "--out", "next", *slow, *FORECAST, "--history", "earlier", cwd=tmp_path, stdout=PIPE, stderr=PIPE
    )
    try:
        journal = tmp_path / "next" / "journal" / "000001.jsonl"
        while not (journal.exists() and "reply_received" in journal.read_text()):
            assert ran.poll() is None, ran.communicate()
    finally:
        ran.kill()
        ran.communicate()
    first = started(tmp_path / "next")
    ended("/", "resume", tmp_path / "next", "--no-live", "--max-agents", 1, "--set", "sim.speed=300")
    order = list(dict.fromkeys(started(tmp_path / "next")))
    assert order[: len(first)] == first
    assert order == [f"t{i}#0" for i in (0, 1, 3, 2, 4)]


def test_a_history_of_other_tasks_is_told(tmp_path, job, earlier):
    other = tmp_path / "other.jsonl"
    other.write_text(job.read_text().replace('"id": "t', '"id": "u'))
    assert "there is none of the same id" in run(tmp_path, other, "next", *FORECAST, "--history", "earlier")


def test_a_history_in_which_all_failed_is_told(tmp_path, job):
    failing = tmp_path / "failing.py"
    failing.write_text("async def solve(task, ctx):\n    raise RuntimeError\n")
    run(tmp_path, job, "failed", "--agent", f"{failing}:solve", code=1)
    told = run(tmp_path, job, "next", *FORECAST, "--history", "failed")
    assert "failed: tells nothing of this job's tasks: none of its rollouts had a reply and no error" in told


def test_a_history_without_counts_is_not_told_as_failed(tmp_path):
    columns = {"id": ["t0"], "status": ["completed"], "context_tokens": pa.array([None], pa.int64())}
    pq.write_table(pa.table(columns), tmp_path / "results.parquet")
    assert "or its engine counted no tokens" in hints.why_nothing(str(tmp_path))


def test_so_it_is_by_simulations(tmp_path, earlier):
    small = ("--agents", 2, "--set", "workload.most_steps=10")
    note = "note: {}: tells nothing of these agents: there is none of the same id that had a reply and no error"
    assert ended(tmp_path, "simulate", *small, "--set", "run.history=earlier", "--out", "drawn") == note.format("earlier")
    assert ended(tmp_path, "compare", *small, "--workers", 1, "--history", "earlier") == note.format("earlier")
    assert ended(tmp_path, "compare", *small, "--workers", 1, "--history", "drawn") == ""


def test_a_history_that_is_none_is_one_sentence_and_leaves_nothing(tmp_path, job, earlier):
    assert run(tmp_path, job, "next", "--history", "nowhere", code=2).endswith(
        "nowhere: holds no run (there is no config.json); give the directory that `concur run` named"
    )
    (earlier / "results.parquet").unlink()
    assert "earlier: has no results yet" in run(tmp_path, job, "next", "--history", "earlier", code=2)
    assert not (tmp_path / "next").exists()


def test_a_history_that_went_can_be_left_out_on_resume(tmp_path, job, earlier):
    run(tmp_path, job, "next", "--history", "earlier")
    shutil.rmtree(earlier)
    with pytest.raises(RunDirectoryError, match=r"--history .*earlier: holds no run"):
        take_up(tmp_path / "next", {}, [], retry_failed=None, take_over=False)
    ended(tmp_path, "resume", "next", "--no-live", "--set", "run.history=")


def test_hints_in_a_replayed_trace_are_scaled_with_its_counts_and_no_part_of_what_is_replayed(tmp_path):
    lists = {"assistant_response_length": [], "tool_call_output_length": [], "tool_call_latency": []}
    row = {"input_prompt_length": 5000, "num_turns": 0, "final_assistant_response_length": 50, **lists}
    trace = tmp_path / "trace.jsonl"

    def read(**more):
        trace.write_text(json.dumps({**row, **more}))
        replay = config(agent__name="replay", replay__token_scale=0.5)
        with load([str(trace)], LoadOptions(agent_schema=Agents(replay).schema, hints=hints.from_config(replay))) as job:
            return next(iter(job))

    told, untold = read(expected_tokens=9000), read()
    assert (told.expected_tokens, untold.expected_tokens) == (4500, None)
    assert (told.fingerprint, told.fields) == (untold.fingerprint, untold.fields)
    with pytest.raises(InputError, match=r":1: expected_tokens: is -1; should be greater than or equal to 1$"):
        read(expected_tokens=-1)


def test_the_truth_is_for_simulations():
    with pytest.raises(InputError, match=r"sim\.hint_sigma: is for `concur simulate`"):
        parts.for_agent(config(sim__hint_sigma=0.0))


# Simulations -----------------------------------------------------------------------------------------------------------

TRACES = generate(WorkloadParameters(agents=9), seed=1)
JOB = list(tasks(TRACES))


def simulated(**keys):
    return hints.simulated(TRACES, JOB, config(**keys))


def test_simulated_tasks_have_no_hints_unless_asked_for():
    assert simulated(controller__name="forecast") == JOB


def test_simulated_tasks_may_know_the_truth():
    known = simulated(sim__hint_sigma=0.0, controller__name="aimd")
    assert [task.expected_tokens for task in known] == [trace.final_tokens for trace in TRACES]
    assert [task.id for task in known] == [task.id for task in JOB]
    ordered = simulated(sim__hint_sigma=0.0, controller__name="forecast")
    order = long_in_time([trace.final_tokens for trace in TRACES])
    assert list(order) != sorted(order)
    assert ordered == [known[position] for position in order]


def test_guesses_depend_on_the_seed_of_the_run_alone():
    def guesses(**keys):
        return [task.expected_tokens for task in simulated(sim__hint_sigma=0.4, **keys)]

    assert guesses() == guesses() != guesses(run__seed=1)


def test_a_simulation_may_go_by_the_history_of_another(tmp_path):
    given = {"engine.urls": ["sim:qwen3-8b@h100x1"], "run.out": str(tmp_path / "first")}
    simulate.start(simulate.Load(agents=5), given, [], None, as_json=True)
    drawn = generate(WorkloadParameters(agents=5), seed=0)
    known = hints.simulated(drawn, list(tasks(drawn)), config(run__history=str(tmp_path / "first"), controller__name="aimd"))
    assert [task.expected_tokens for task in known] == [trace.final_tokens for trace in drawn]


def test_a_simulations_results_come_in_job_order_whatever_the_order_of_the_run(tmp_path):
    given = {"engine.urls": ["sim:qwen3-8b@h100x1"], "run.out": str(tmp_path / "run"), "controller.name": "forecast"}
    known = ["sim.hint_sigma=0"]
    simulate.start(simulate.Load(agents=9), given, known, None, as_json=True)
    drawn = generate(WorkloadParameters(agents=9), seed=0)
    order = long_in_time([trace.final_tokens for trace in drawn])
    assert list(order) != sorted(order)
    assert started(tmp_path / "run") == [f"agent-{i:05d}#0" for i in order]
    ids = pq.read_table(tmp_path / "run" / "results.parquet")["id"].to_pylist()
    assert ids == [f"agent-{i:05d}" for i in range(9)]
