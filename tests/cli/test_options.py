"""What is said of an option's value that cannot be one."""

import json

import pytest
from forked import concur
from typer.main import get_command
from typer.testing import CliRunner

from concur_batch.cli.main import app


def typed(command, *names):
    """Every option of a form of its own, with the command that has it."""
    for name, one in getattr(command, "commands", {}).items():
        yield from typed(one, *names, name)
    for option in command.params:
        if (option.metavar or "").startswith("<"):
            yield (*names, "there", option.opts[0])


TYPED = list(typed(get_command(app)))


def said(*arguments):
    ran = CliRunner().invoke(app, list(map(str, arguments)))
    assert ran.exit_code == 2
    return ran.output.strip().splitlines()[-1]


@pytest.mark.parametrize("arguments", TYPED, ids=" ".join)
def test_each_says_what_it_takes(arguments):
    told = said(*arguments, "x")
    assert f"'{arguments[-1]}'" in told
    assert "should be" in told
    assert told.endswith(", not 'x'")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("simulate --engines 65", "'--engines': should be a whole number from 1 to 64, not '65'"),
        ("compare --workers 0", "'--workers': should be a whole number of at least 1, not '0'"),
        ("simulate --time-scale nan", "'--time-scale': should be a finite number from 0 to 1000, not 'nan'"),
        ("engine sim --speed inf", "'--speed': should be a finite number, not 'inf'"),
        ("engine check here --timeout 0", "'--timeout': should be a number of at least 0.1, not '0'"),
        ("engine launch m --patience nan", "'--patience': should be a number of at least 0, not 'nan'"),
        ("run job --output-format xml", "'--output-format': should be parquet, jsonl or openai, not 'xml'"),
        (f"results here --limit -{'9' * 400}", f"'--limit': should be a whole number of at least 1, not '-{'9' * 59}'…"),
    ],
)
def test_bounds_are_told_and_long_values_cut(arguments, told):
    assert said(*arguments.split()).endswith(told)


def test_what_is_not_given_to_resume_is_as_it_was():
    texts = [
        " ".join(option.help.split()) for option in get_command(app).commands["resume"].params if getattr(option, "help", None)
    ]
    defaults = [text.partition(" Default: ")[2] for text in texts if "Default:" in text]
    assert defaults == ["as before."] * 4


def test_engines_may_be_given_together_with_commas(tmp_path):
    (tmp_path / "job.jsonl").write_text('{"prompt": "x", "script": ["y"]}\n')
    engines = ("-e", "sim,sim:qwen3-8b@h100", "-e", "sim:qwen3-32b@h100x4,,")
    out = str(tmp_path / "out")
    ran = concur("run", str(tmp_path / "job.jsonl"), *engines, "--no-live", "--out", out, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    urls = json.loads((tmp_path / "out" / "config.json").read_text())["config"]["engine"]["urls"]
    assert urls == ["sim", "sim:qwen3-8b@h100", "sim:qwen3-32b@h100x4"]
    ran = CliRunner().invoke(app, ["run", "job.jsonl", "-e", "http://a:1, http://a:1"])
    assert "http://a:1 more than once" in str(ran.exception)


@pytest.mark.parametrize("nothing", ["", ","])
def test_an_engine_that_is_nothing_is_refused(nothing):
    ran = CliRunner().invoke(app, ["run", "job.jsonl", "--engine", nothing])
    assert "engine.urls" in str(ran.exception)
