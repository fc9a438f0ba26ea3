from __future__ import annotations

from pathlib import Path

import pytest

from concur_batch.errors import InputError
from concur_batch.toolbox.limits import ToolLimits
from concur_batch.toolbox.processes import sandbox
from concur_batch.toolbox.processes.sandbox import find_sandbox

WORKSPACES = Path("/nonexistent/run/workspaces")


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, program: str | None) -> None:
    """Make PATH hold a bubblewrap with this text, or none at all."""
    monkeypatch.setenv("PATH", str(folder))
    if program is not None:
        (folder / "bwrap").write_text(program)
        (folder / "bwrap").chmod(0o755)


def test_without_bubblewrap_commands_are_unsafe_and_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, None)
    found = find_sandbox(ToolLimits(), WORKSPACES)
    assert found.name == "unsafe"
    assert "bubblewrap is not installed" in str(found.warning)
    assert found.wrap(["ls", "-l"], Path("/w")) == ["ls", "-l"]


def test_bubblewrap_that_does_not_work_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "#!/bin/sh\necho 'No permissions to create a new namespace' >&2\nexit 1\n")
    found = find_sandbox(ToolLimits(), WORKSPACES)
    assert found.name == "unsafe"
    assert "does not work here (No permissions to create a new namespace)" in str(found.warning)


def test_bubblewrap_that_works_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "#!/bin/sh\nexit 0\n")
    found = find_sandbox(ToolLimits(), WORKSPACES)
    assert (found.name, found.warning) == ("bubblewrap", None)
    line = found.wrap(["ls"], Path("/w"))
    assert line[-4:] == ["--chdir", "/w", "--", "ls"]
    assert "--share-net" not in line
    assert line[line.index("--tmpfs") + 1] == "/nonexistent/run"
    assert line[-6:-4] == ["--remount-ro", "/nonexistent/run"]
    assert "--share-net" in find_sandbox(ToolLimits(network=True), WORKSPACES).wrap(["ls"], Path("/w"))


def test_a_sandbox_that_is_demanded_must_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, None)
    with pytest.raises(InputError, match="the sandbox is required but bubblewrap is not installed"):
        find_sandbox(ToolLimits(sandbox="bubblewrap"), WORKSPACES)


def test_switched_off_nothing_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox.shutil, "which", None)
    assert "switched off" in str(find_sandbox(ToolLimits(sandbox="off"), WORKSPACES).warning)
