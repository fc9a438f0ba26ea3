"""What a command refuses of a configuration file only when it uses it is told with that file."""

import pytest
from typer.testing import CliRunner

from concur_batch.cli.main import app
from concur_batch.errors import InputError

JOB = '{"id": "a", "prompt": "x", "script": ["done"]}\n'
RUN, VALIDATE = ("run", "job.jsonl", "--out", "out"), ("validate", "job.jsonl")
COMPARE, SIMULATE = ("compare", "--agents", "2"), ("simulate", "--agents", "2")
LIVE = ("compare", "job.jsonl", "--engine", "http://127.0.0.1:9", "--out", "out")


@pytest.mark.parametrize(
    ("commands", "table", "told"),
    [
        ([RUN, VALIDATE, LIVE], '[tools]\nsources = ["none.py"]', "none.py: tools file does not exist; "),
        ([RUN, VALIDATE, LIVE], '[tools]\nsources = ["no.such"]', "tools no.such: no such module; "),
        ([RUN, VALIDATE, LIVE, COMPARE, SIMULATE], '[run]\nhistory = "none"', "none: holds no run "),
        ([RUN, LIVE], "[replay]\ntoken_scale = 2", "replay.token_scale: is for the agent 'replay'; "),
        ([RUN, VALIDATE], '[agent]\nname = "replay"', "agent replay puts load on a server: "),
        ([RUN, LIVE], "[sim]\nhint_sigma = 1", "sim.hint_sigma: is for `concur simulate`"),
    ],
)
def test_a_value_that_cannot_be_used_is_told_with_its_file(commands, table, told, tmp_path, monkeypatch):
    (tmp_path / "job.jsonl").write_text(JOB)
    (tmp_path / "mine.toml").write_text(f"{table}\n")
    monkeypatch.chdir(tmp_path)
    for command in commands:
        ran = CliRunner().invoke(app, [*command, "--config", "mine.toml"])
        assert isinstance(ran.exception, InputError), command
        said = str(ran.exception)
        assert said.startswith("file mine.toml: "), command
        assert told in said
        assert "\n" not in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job.jsonl", "mine.toml"]


def test_what_the_command_line_gave_is_told_by_its_option(tmp_path, monkeypatch):
    (tmp_path / "job.jsonl").write_text(JOB)
    (tmp_path / "mine.toml").write_text('[tools]\nsources = ["none.py"]\n[run]\nhistory = "none"\n')
    monkeypatch.chdir(tmp_path)
    tools = CliRunner().invoke(app, ["validate", "job.jsonl", "--config", "mine.toml", "--tools", "other.py"])
    assert str(tools.exception).startswith("other.py: tools file does not exist")
    history = CliRunner().invoke(app, [*COMPARE, "--config", "mine.toml", "--history", "other"])
    assert str(history.exception).startswith("--history other: holds no run")


@pytest.mark.parametrize("command", [RUN, VALIDATE])
def test_an_agent_that_cannot_be_found_is_no_fault_of_the_rows(command, tmp_path, monkeypatch):
    (tmp_path / "job.jsonl").write_text(JOB * 3)
    (tmp_path / "ag.py").write_text("x = 1\n")
    (tmp_path / "mine.toml").write_text('[agent]\nname = "ag.py:nope"\n')
    monkeypatch.chdir(tmp_path)
    here = f"{tmp_path.resolve()}/ag.py" if command is RUN else "ag.py"
    told = f"agent '{here}:nope': {here} has no 'nope'"
    for more, said in (
        (["--agent", "ag.py:nope"], f"--{told}"),
        (["--config", "mine.toml"], f"file mine.toml: {told}"),
    ):
        ran = CliRunner().invoke(app, [*command, *more])
        assert isinstance(ran.exception, InputError)
        assert str(ran.exception) == said


def test_an_agent_that_a_row_names_is_a_fault_of_that_row(tmp_path, monkeypatch):
    (tmp_path / "job.jsonl").write_text(JOB + '{"id": "b", "prompt": "x", "agent": "ag.py:nope", "script": ["done"]}\n')
    (tmp_path / "ag.py").write_text("x = 1\n")
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(app, VALIDATE)
    assert str(ran.exception) == "job.jsonl:2: agent: agent 'ag.py:nope': ag.py has no 'nope'"
