"""`concur validate`: it runs nothing, and refuses what `run` refuses with the same options, in the same words."""

import json
import os

import pytest
from forked import concur
from typer.main import get_command

from concur_batch.cli.main import app

SERVER = ("--engine", "http://127.0.0.1:9")  # nobody is there, and nobody is asked
SCRIPTED, BARE = {"prompt": "x", "script": ["done"]}, {"prompt": "x"}
TRACE = {
    "input_prompt_length": 5000,
    "num_turns": 0,
    "assistant_response_length": [],
    "tool_call_output_length": [],
    "tool_call_latency": [],
    "final_assistant_response_length": 50,
}


def write_job(folder, *rows):
    (folder / "job.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def validated(folder, *options):
    return concur("validate", "job.jsonl", *options, cwd=folder)


def refused(folder, *options):
    """What both say."""
    run, validate = concur("run", "job.jsonl", *options, cwd=folder), validated(folder, *options)
    assert (run.returncode, validate.returncode, validate.stdout) == (2, 2, "")
    assert validate.stderr == run.stderr.replace(f"{folder}/data", "data")  # of the settings, which a resumed run has to find
    return validate.stderr


def test_it_runs_nothing(tmp_path):
    write_job(tmp_path, *[SCRIPTED] * 6)
    assert "6 tasks, 6 rollouts: every row" in validated(tmp_path).stdout
    assert "1 task, 1 rollout: every row" in validated(tmp_path, "--limit", "1").stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job.jsonl"]


@pytest.mark.parametrize(
    "setting", ["controller.name=foo", "controller.fil=0.9", "controller.alpha=4", "sim.pool_tokens=10", "replay.token_scale=2"]
)
def test_settings(tmp_path, setting):
    write_job(tmp_path, SCRIPTED)
    refused(tmp_path, "--set", setting)


@pytest.mark.parametrize("options", [(), ("--set", "engine.urls=sim"), ("--engine", "sim:qwen3-8b@h100x1")])
def test_rows_without_a_script_for_the_embedded_engine(tmp_path, options):
    write_job(tmp_path, SCRIPTED, BARE)
    assert "job.jsonl:2: has no `script`" in refused(tmp_path, *options)
    assert "2 tasks, 2 rollouts: every row" in validated(tmp_path, *SERVER).stdout


def test_it_has_the_options_of_run():
    options = {name: get_command(app).commands[name].params for name in ("run", "validate")}
    assert [option.opts for option in options["validate"]] == [option.opts for option in options["run"]]


def test_it_takes_the_command_line_of_run_and_makes_nothing(tmp_path):
    write_job(tmp_path, *[SCRIPTED] * 6)
    options = ["--controller", "aimd", "--max-agents", "4", "--seed", "3", "--shuffle", "1", "--out", "a/b", "--max-steps", "9"]
    assert "6 tasks, 6 rollouts" in validated(tmp_path, *options, "--on-exit", "touch here", "--no-live").stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job.jsonl"]
    assert "--controller aimmd" in refused(tmp_path, "--controller", "aimmd")


def test_a_sim_beside_a_server_is_told_of_only_where_one_was_named(tmp_path):
    write_job(tmp_path, BARE)
    assert "no sim beside it" not in refused(tmp_path)
    assert "give --engine URL, and no sim beside it" in refused(tmp_path, *SERVER, "--engine", "sim")


def test_what_is_wrong_in_a_trace_is_told_alike_by_run_and_simulate(tmp_path):
    turn = {"num_turns": 1, "assistant_response_length": [5], "tool_call_output_length": [5], "tool_call_latency": [-1]}
    write_job(tmp_path, TRACE | turn)
    told = "job.jsonl:1: tool_call_latency[0]: is -1; should be seconds"
    assert told in refused(tmp_path, "--agent", "replay", *SERVER)
    assert told in concur("simulate", "job.jsonl", cwd=tmp_path).stderr


def test_a_trace_to_replay_without_a_server(tmp_path):
    write_job(tmp_path, TRACE)
    assert "--agent replay puts load on a server" in refused(tmp_path, "--agent", "replay")
    taken = validated(tmp_path, "--agent", "replay", *SERVER)
    assert (taken.returncode, taken.stderr) == (0, "")


def test_readable_paths_are_there(tmp_path):
    write_job(tmp_path, SCRIPTED)
    told = refused(tmp_path, "--set", 'tools.readable=["data"]')
    assert "tools.readable: 'data' does not exist; name files and folders that are there" in told


def test_readable_paths_are_kept_in_full(tmp_path):
    write_job(tmp_path, SCRIPTED)
    (tmp_path / "data").mkdir()
    done = concur("run", "job.jsonl", "--out", "out", "--set", 'tools.readable=["data"]', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out" / "config.json").read_text())["config"]["tools"]["readable"] == [str(tmp_path / "data")]


def test_a_column_with_control_characters_is_told_with_their_escapes(tmp_path):
    write_job(tmp_path, SCRIPTED | {"a\x1b]0;b\x07c": 1})
    name = r"job.jsonl:1: a\x1b]0;b\x07c: "
    assert f"note: {name}unknown column" in validated(tmp_path).stdout
    assert f"{name}unknown column" in concur("run", "job.jsonl", cwd=tmp_path).stderr
    assert refused(tmp_path, "--strict").startswith(f"concur: {name}is not known")


def test_names_with_the_word_for_a_picture_between_colons_are_told_as_they_are(tmp_path):
    (tmp_path / "job.jsonl").write_text(json.dumps({"id": "t", "prompt": "x", "script": ["done"], "doc:id": 1}))
    done = concur("run", "job.jsonl", "--out", "o:x:1", cwd=tmp_path)
    assert "job.jsonl:1: doc:id: unknown column" in done.stderr
    assert "run directory: o:x:1\n" in done.stderr
    assert "job.jsonl:1: doc:id: unknown column" in concur("validate", "job.jsonl", cwd=tmp_path).stdout
    assert "report      r:x:.html" in concur("report", "o:x:1", "--html", "r:x:.html", cwd=tmp_path).stdout


def test_a_key_that_no_header_can_hold_is_refused_where_there_is_a_server_alone(tmp_path):
    write_job(tmp_path, SCRIPTED)
    env = os.environ | {"OPENAI_API_KEY": "sk-1\nsk-2"}
    assert concur("run", "job.jsonl", cwd=tmp_path, env=env).returncode == 0
    assert concur("simulate", "--agents", "2", cwd=tmp_path, env=env).returncode == 0
    for command in ("validate", "run"):
        told = concur(command, "job.jsonl", *SERVER, cwd=tmp_path, env=env).stderr
        assert told.startswith("concur: environment OPENAI_API_KEY: engine.api_key must be of printable ASCII characters alone")
        assert told.count("\n") == 1
