from __future__ import annotations

from pathlib import Path

from concur_batch.toolbox.processes.environment import command_environment


def test_only_what_is_allowed_is_passed_on() -> None:
    parent = {"PATH": "/bin", "LANG": "de_DE.UTF-8", "OPENAI_API_KEY": "sk", "AWS_SECRET_ACCESS_KEY": "x", "PYTHONPATH": "/x"}
    made = command_environment(Path("/w"), "/w.tmp", "token", parent)
    assert set(made) == {"PATH", "LANG", "HOME", "TMPDIR", "CONCUR_CALL"}
    assert made["PATH"].endswith(":/bin")
    assert (made["HOME"], made["TMPDIR"], made["LANG"]) == ("/w", "/w.tmp", "de_DE.UTF-8")


def test_an_empty_parent_still_gives_a_path() -> None:
    assert command_environment(Path("/w"), "/w.tmp", "token", {})["PATH"].endswith(":/usr/local/bin:/usr/bin:/bin")
