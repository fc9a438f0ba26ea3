"""`concur compare`: simulated in process and as users start it, and live on the simulated server."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from forked import CONCUR, PIPE, Program, concur, simulator
from typer.testing import CliRunner

from concur_batch.cli.main import app
from concur_batch.cli.trial import commands, compare, simulate
from concur_batch.cli.trial.entries import Entries, Run, configurations, names_of
from concur_batch.cli.trial.simulate import Load
from concur_batch.config import resolve
from concur_batch.errors import InputError
from concur_batch.sim.workload import MOST_AGENTS

SMALL = {"engine.urls": ["sim:qwen3-8b@h100x1"], "sim.pool_tokens": 60_000}


def run(controllers, *, trace=None, agents=8, seeds=1, workers=1, as_json=True, sets=(), **options):
    load = Load(trace=trace, agents=agents)
    given = {**SMALL, **{key.replace("__", "."): value for key, value in options.items()}}
    return compare.start_simulated(load, controllers, given, list(sets), None, seeds=seeds, workers=workers, as_json=as_json)


def runs(capsys, *arguments, **options):
    assert run(*arguments, **options) == 0
    out, err = capsys.readouterr()
    assert (out.count("\n"), err) == (1, "")
    return json.loads(out)["runs"]


def without_time(found):
    return [{key: value for key, value in one.items() if key != "wall_s"} for one in found]


def test_each_controller_under_each_seed_as_simulate_tells_it(capsys):
    found = runs(capsys, "off,fixed:4", seeds=2, run__seed=3)
    assert [(one["controller"], one["seed"]) for one in found] == [("off", 3), ("off", 4), ("fixed:4", 3), ("fixed:4", 4)]
    options = {**SMALL, "controller.name": "fixed:4", "run.seed": 4}
    simulate.start(Load(agents=8), options, [], None, as_json=True)
    alone = json.loads(capsys.readouterr().out)
    assert list(found[3]) == list(alone)
    assert without_time(found[3:]) == without_time([alone])


def test_fixed_auto_is_the_best_of_all_fixed_windows(capsys):
    found = {one["controller"]: one for one in runs(capsys, "fixed:auto,off,fixed:2,fixed:4,fixed:6", agents=12)}
    auto = found["fixed:auto"]
    assert 1 <= auto["window"] < 12
    assert auto["makespan_s"] == min(one["makespan_s"] for one in found.values())
    again = runs(capsys, f"fixed:{auto['window']}", agents=12)[0]
    assert without_time([again | {"controller": "fixed:auto", "window": auto["window"]}]) == without_time([auto])


def test_without_a_limit_may_be_best(capsys):
    (auto,) = runs(capsys, "fixed:auto", sim__pool_tokens=2_000_000)
    assert (auto["window"], auto["limit"]["agents"]["first"]) == (None, 8)


def test_the_number_of_workers_changes_nothing(capsys):
    found = [runs(capsys, "fixed:auto,off,aimd", seeds=2, workers=workers) for workers in (1, 2)]
    assert without_time(found[0]) == without_time(found[1])


@pytest.mark.parametrize("width", [80, 160])
def test_the_table_has_a_line_per_controller_and_fits(width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    assert run("off,fixed:auto,aimd", seeds=2, as_json=False) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert (len(lines), err) == (5, "")
    assert max(map(len, lines)) <= width
    assert [line.split()[0] for line in lines[1:]] == ["controller", "off", "fixed:auto", "aimd"]
    assert all(word in lines[0] for word in ("makespan", "of seeds", "x", "hit", "recom-", "agent"))
    assert ("limit" in lines[0]) == (width == 160)


def test_one_controller_alone_is_a_row_too(capsys):
    assert run("aimd", seeds=2, as_json=False) == 0
    heads, _, row = capsys.readouterr().out.splitlines()
    assert "of seeds" in heads
    assert row.startswith("aimd ")


def test_agents_that_did_not_complete_are_told_beside_the_table(capsys):
    assert run("off,fixed:2", sim__pool_tokens=4_000, agents=2, as_json=False) == 0
    out = capsys.readouterr().out
    assert "off: not all agents completed: context_length 2" in out
    assert "fixed:2: not all" in out


def test_several_engines_are_told_as_a_whole(capsys):
    (one,) = runs(capsys, "off")
    (two,) = runs(capsys, "off", engine__urls=["sim:qwen3-8b@h100x1#1", "sim:qwen3-8b@h100x1#2"])
    assert (two["profile"], two["engines"], two["pool_tokens"]) == ("qwen3-8b@h100x1", 2, 120_000)
    assert (two["agents"], two["steps"]) == (8, one["steps"])
    assert one["lower_bound_s"] / 2 <= two["lower_bound_s"] <= two["makespan_s"] < one["makespan_s"]


def test_a_trace_is_run_with_one_seed(tmp_path, capsys):
    trace = tmp_path / "trace.jsonl"
    trace.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert run("off", trace=str(trace), agents=None, seeds=2) == 0
    out, err = capsys.readouterr()
    assert [one["agents"] for one in json.loads(out)["runs"]] == [8]
    assert err == "note: a trace is the same under every seed, so it is run with the first alone\n"


def test_a_job_file_is_not_simulated(tmp_path):
    job = tmp_path / "job.jsonl"
    job.write_text('{"id": "a", "prompt": "hello"}\n' * 30)
    with pytest.raises(InputError, match=r"is a job file, .* use `concur run`, or `concur compare` with --engine URL$"):
        run("off", trace=str(job), agents=None)


@pytest.mark.parametrize(
    ("controllers", "sets", "text"),
    [
        ("", [], "names no controller; give off,aimd"),
        ("off,,aimd", [], "names no controller between two commas"),
        ("off,aimd,off", [], "names off twice; name it once"),
        ("off,amid", [], "--controllers amid: there is no such controller; did you mean aimd"),
        ("off,fixed:none", [], "--controllers fixed:none: give the number of agents"),
        ("off,aimd", ["controller.alpa=4"], "controller.alpa: none of off, aimd has such a parameter; did you mean alpha?"),
        ("off,fixed:auto", ["controller.alpha=4"], "controller.alpha: none of off, fixed:auto has such a parameter"),
        ("off,aimd", ["controller.alpha=-4"], "controller.alpha: Input should be greater than 0"),
        ("off,aimd", ["controller.name=off"], "controller.name: a comparison takes its controllers from --controllers"),
        ("off,aimd", ["run.out=here"], "--set run.out: a comparison has a run directory for each run"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_runs(controllers, sets, text, monkeypatch):
    monkeypatch.setattr(compare, "_run_all", lambda *_: pytest.fail("it runs"))
    with pytest.raises(InputError, match=text) as caught:
        run(controllers, sets=sets)
    assert "\n" not in str(caught.value)


def test_a_parameter_that_nobody_has_is_told_with_the_place_it_comes_from():
    config = resolve(SMALL, [], None, {"CONCUR_CONTROLLER_ALPHA": "4"})
    with pytest.raises(InputError, match=r"controller.alpha \(environment CONCUR_CONTROLLER_ALPHA\): off does not have such"):
        configurations(config, ["off"])


def test_a_value_that_its_controller_refuses_is_told_with_the_file_that_gave_it(tmp_path, monkeypatch):
    (tmp_path / "mine.toml").write_text("[controller]\nfill = 7\n")
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(app, ["compare", "--agents", "2", "--config", "mine.toml"])
    assert isinstance(ran.exception, InputError)
    assert str(ran.exception).startswith("file mine.toml: controller.fill: ")


def test_a_parameter_is_for_the_controllers_that_have_it():
    config = resolve({}, ["controller.alpha=4", "controller.pause=oldest"], None, {})
    found = configurations(config, ["off", "aimd", "fixed:auto"])
    assert {name: one.controller.parameters for name, one in found.items()} == {
        "off": {"pause": "oldest"},
        "aimd": {"alpha": 4, "pause": "oldest"},
        "fixed:auto": {"pause": "oldest"},
    }


def test_blanks_between_names_do_not_matter():
    assert names_of(" off, fixed:auto ,aimd") == ["off", "fixed:auto", "aimd"]


def test_a_run_that_two_want_is_made_once():
    entries = Entries(["off", "fixed:auto", "fixed:8"], [0, 1], 16)
    first = entries.wanted()
    assert len(first) == len(set(first)) == 6  # 4, 8 and no limit, under both seeds
    assert Run("fixed:8", 1) in first
    assert entries.wanted(by_seed=True)[:3] == [Run("off", 0), Run("fixed:4", 0), Run("fixed:8", 0)]
    assert entries.wanted(first) == []


@pytest.fixture
def interrupted(monkeypatch):
    """After so many runs."""

    def after(count):
        left = iter(range(count))

        def simulated(traces, job, real=compare._simulated):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return real(traces, job)

        monkeypatch.setattr(compare, "_simulated", simulated)

    return after


def test_what_is_done_is_printed_when_it_is_interrupted(capsys, interrupted):
    interrupted(3)
    assert run("off,aimd", seeds=2) == 130
    out, err = capsys.readouterr()
    assert [(one["controller"], one["seed"]) for one in json.loads(out)["runs"]] == [("off", 0), ("off", 1), ("aimd", 0)]
    assert err == "concur: interrupted\n"


def test_the_table_of_what_is_done_is_over_the_seeds_that_all_have(capsys, interrupted):
    interrupted(3)
    assert run("off,aimd", seeds=2, as_json=False) == 130
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "every row is over seed 0; left out: off under seed 1"
    assert ".." not in lines[2]  # no spread of several


def test_interrupted_before_anything_is_done_it_prints_no_table(capsys, interrupted):
    interrupted(0)
    assert run("off", as_json=False) == 130
    assert capsys.readouterr() == ("", "concur: interrupted\n")


# As users start it ---------------------------------------------------------------------------------------------------

ROWS = [
    {
        "input_prompt_length": 5_000 + 500 * i,
        "num_turns": 3,
        "assistant_response_length": [60, 80, 100],
        "tool_call_output_length": [400, 900, 500 + i],
        "tool_call_latency": [0.5, 1.0, 0.2],
        "final_assistant_response_length": 50,
    }
    for i in range(8)
]


def compared(folder, *arguments, code=0):
    done = concur("compare", *arguments, cwd=folder)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_piped_output_is_one_object_and_nothing_else(tmp_path):
    small = ["--profile", "qwen3-8b@h100x1", "--pool-tokens", "60000", "--agents", "8", "--engines", "2"]
    done = compared(tmp_path, "--controllers", "off,fixed:4", *small, "--workers", "2", "--json")
    assert done.stderr == ""
    assert [one["engines"] for one in json.loads(done.stdout)["runs"]] == [2, 2]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--controllers", "off,nothing"], "there is no such controller"),
        (["--profile", ""], "--profile: names no engine; give MODEL@GPUxTP"),
        (["--out", "x"], "--out: is for runs on a server; name it by --engine URL"),
        (["t.jsonl", "--engine", "http://127.0.0.1:1", "--pool-tokens", "9"], "--pool-tokens: is for simulated runs"),
        (["t.jsonl", "--engine", "http://127.0.0.1:1", "--set", "sim.page_size=9"], "--set sim.page_size: is for simulated runs"),
        (["t.jsonl", "--engine", "http://127.0.0.1:1", "--set", "workload.agents=5"], "--set workload.agents: is for simulated"),
        (["--engine", "http://127.0.0.1:1"], "--engine: needs something to run"),
        (["t.jsonl", "--engine", "sim"], "--engine: is for the URL of a server"),
        (
            ["t.jsonl", "--engine", "http://127.0.0.1:1", "--engine", "http://127.0.0.1:2"],
            "--engine: a comparison measures one engine at a time; name one of them",
        ),
        (["-", "--engine", "http://127.0.0.1:1"], "reads its job several times"),
        (["none.jsonl", "--engine", "http://127.0.0.1:1"], "none.jsonl: no such file"),
    ],
)
def test_options_that_do_not_go_together(arguments, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    ran = CliRunner().invoke(app, ["compare", *arguments])
    assert isinstance(ran.exception, InputError)
    assert told in str(ran.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["t.jsonl"]


@pytest.mark.parametrize("command", ["simulate", "compare"])
def test_more_agents_than_a_machine_can_hold_are_refused(command):
    assert MOST_AGENTS == commands.MOST_AGENTS
    ran = CliRunner().invoke(app, [command, "--agents", "99999999999999999999"])
    assert ran.exit_code == 2
    assert "1000000" in ran.output


@pytest.mark.parametrize(("number", "send", "code"), [(signal.SIGINT, os.killpg, 130), (signal.SIGTERM, os.kill, 143)])
def test_a_signal_ends_all_of_them(tmp_path, number, send, code):
    """Ctrl-C reaches the whole group, SIGTERM the one process that is known."""
    command = [*CONCUR, "compare", "--controllers", "off,fixed:auto", "--agents", "256", "--workers", "2"]
    begun = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        end = time.monotonic() + 60
        while len(started := psutil.Process(begun.pid).children()) < 3:  # two workers, and what looks after their semaphores
            assert begun.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        time.sleep(0.3)
        send(begun.pid, number)
        assert begun.wait(10) == code
        assert begun.stderr.read() == "concur: interrupted\n"
        assert psutil.wait_procs(started, timeout=10)[1] == []
    finally:
        begun.kill()
        begun.wait()
        begun.stderr.close()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux which signals a process catches")
@pytest.mark.parametrize(("as_json", "out"), [((), ""), (("--json",), '{"runs": []}\n')])
def test_sigterm_while_the_agents_are_drawn_ends_it_likewise(tmp_path, as_json, out):
    command = ["compare", "--controllers", "off,aimd", "--agents", "100000", *as_json]
    with Program(*command, cwd=tmp_path, stdout=PIPE, stderr=PIPE) as begun:
        while not catches(begun.pid, signal.SIGTERM):
            assert begun.poll() is None
        begun.terminate()
        assert begun.communicate(timeout=60) == (out, "concur: interrupted\n")
    assert begun.returncode == 143


def catches(pid, number):
    told = Path(f"/proc/{pid}/status").read_text()
    mask = next(line.split()[1] for line in told.splitlines() if line.startswith("SigCgt"))
    return int(mask, 16) >> (number - 1) & 1


# On a server ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    profile = tmp_path_factory.mktemp("engine") / "quick.toml"
    cost = "[cost]\nprefill_per_token_s = 1e-6\ndecode_fixed_s = 0.0005\n"
    profile.write_text(f'base = "qwen3-8b@h100x1"\npool_tokens = 40_000\n{cost}')
    with simulator("--profile", profile, "--chars-per-token", "1", "--template-tokens") as address:
        yield address


@pytest.fixture
def trace(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_a_trace_is_replayed_under_each_controller_from_an_empty_cache(url, trace, tmp_path, capsys):
    done = compared(
        tmp_path, trace, "--engine", url, "--controllers", "off,fixed:4", "--time-scale", "0.1", "--seeds", "2", "--json"
    )
    found = json.loads(done.stdout)["runs"]
    assert [(one["controller"], one["seed"]) for one in found] == [("off", 0), ("off", 1), ("fixed:4", 0), ("fixed:4", 1)]
    simulated = runs(capsys, "off")[0]
    for one in found:
        assert list(one) == list(simulated)
        assert (one["profile"], one["engines"], one["pool_tokens"], one["agents"]) == ("qwen3-8b", 1, 40_000, 8)
        assert (one["steps"], one["statuses"]) == (32, {"completed": 8})
        assert one["lower_bound_s"] is one["ttft_p50_s"] is one["retractions"] is None
        first_prompts = sum(row["input_prompt_length"] for row in ROWS)
        assert one["cached_tokens"] < one["prompt_tokens"] - first_prompts + 8 * 4_200  # nothing of the run before
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("compare-")
    assert sorted(path.name for path in folder.iterdir()) == ["comparison.json", "fixed-4-0", "fixed-4-1", "off-0", "off-1"]
    assert len(json.loads((folder / "comparison.json").read_text())["runs"]) == 4


def test_the_best_window_is_swept_for_on_a_server_too(url, trace, tmp_path):
    done = compared(
        tmp_path, trace, "--engine", url, "--controllers", "fixed:auto", "--agents", "5", "--time-scale", "0.05",
        "--out", "out", "--json",
    )  # fmt: skip
    (one,) = json.loads(done.stdout)["runs"]
    assert (one["controller"], one["agents"]) == ("fixed:auto", 5)
    made = json.loads((tmp_path / "out" / "comparison.json").read_text())["runs"]
    assert {"off", "fixed:4"} <= {each["controller"] for each in made}
    assert one["makespan_s"] == min(each["makespan_s"] for each in made)


def test_a_job_file_is_run_by_its_agent(url, tmp_path):
    job = tmp_path / "job.jsonl"
    job.write_text("".join(json.dumps({"id": f"t{i}", "prompt": "Hello", "script": ["done"]}) + "\n" for i in range(3)))
    done = compared(tmp_path, job, "--engine", url, "--controllers", "off,aimd")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["makespan", "controller", "off", "aimd"]


def test_a_server_that_cannot_be_had_leaves_nothing_behind(trace, tmp_path):
    done = compared(tmp_path, trace, "--engine", "http://127.0.0.1:1", "--controllers", "off", code=3)
    assert "cannot be reached" in done.stderr
    assert not (tmp_path / "runs").exists()
