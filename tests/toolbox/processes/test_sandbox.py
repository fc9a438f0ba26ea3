from __future__ import annotations

from pathlib import Path

import pytest

from concur_batch.errors import InputError
from concur_batch.toolbox.limits import ToolLimits
from concur_batch.toolbox.processes import sandbox
from concur_batch.toolbox.processes.sandbox import check_readable, find_sandbox

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


def after(option: str, line: list[str]) -> list[str]:
    return [line[k + 1] for k, word in enumerate(line) if word == option]


def test_bubblewrap_that_works_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "#!/bin/sh\nexit 0\n")
    found = find_sandbox(ToolLimits(), WORKSPACES)
    assert (found.name, found.warning) == ("bubblewrap", None)
    line = found.wrap(["ls"], Path("/w"))
    assert line[-4:] == ["--chdir", "/w", "--", "ls"]
    assert "--share-net" not in line
    assert after("--tmpfs", line)[-1] == "/nonexistent/run"
    assert line[-6:-4] == ["--remount-ro", "/nonexistent/run"]
    assert "--share-net" in find_sandbox(ToolLimits(network=True), WORKSPACES).wrap(["ls"], Path("/w"))


def test_a_sandbox_that_is_demanded_must_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, None)
    with pytest.raises(InputError, match="the sandbox is required but bubblewrap is not installed"):
        find_sandbox(ToolLimits(sandbox="bubblewrap"), WORKSPACES)


def test_switched_off_nothing_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox.shutil, "which", None)
    assert "switched off" in str(find_sandbox(ToolLimits(sandbox="off"), WORKSPACES).warning)


def test_what_cannot_be_shown_is_an_error_and_no_reason_to_run_unconfined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, workspaces = tmp_path / "data", tmp_path / "run" / "workspaces"
    shown.mkdir()
    install(tmp_path, monkeypatch, f"#!/bin/sh\ncase \"$*\" in *{shown}*) echo 'Not this' >&2; exit 1; esac\n")
    assert find_sandbox(ToolLimits(), workspaces).name == "bubblewrap"
    with pytest.raises(InputError, match=rf"tools.readable: bubblewrap cannot show {shown} \(Not this\)"):
        find_sandbox(ToolLimits(readable=(str(shown),)), workspaces)


@pytest.mark.parametrize(
    ("path", "told"),
    [("/no/such", "'/no/such' does not exist"), ("", "'' does not exist"), ("/", "'/' takes the place of the /proc")]
    + [(path, "commands have of their own") for path in ("/proc/1", "/dev", "/dev/shm", "/tmp", "/usr/../tmp")],
)
def test_readable_is_what_is_there_and_not_of_the_commands_own(path: str, told: str) -> None:
    with pytest.raises(InputError, match=rf"tools\.readable: .*{told}"):
        check_readable([path])


def test_nothing_of_a_workspace_can_be_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "#!/bin/sh\nexit 0\n")
    inside = tmp_path / "workspaces" / "one" / "out"
    inside.mkdir(parents=True)
    (inside / "link").symlink_to("/usr")
    for path in (inside, inside / "link"):
        with pytest.raises(InputError, match="lies in a workspace"):
            find_sandbox(ToolLimits(readable=(str(path),)), tmp_path / "workspaces")


def test_workspaces_may_lie_right_in_a_folder_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "#!/bin/sh\nexit 0\n")
    line = find_sandbox(ToolLimits(), Path("/tmp/any")).wrap(["ls"], Path("/tmp/any/one"))
    assert after("--tmpfs", line).count("/tmp/any") == 1  # beside it perhaps where Python itself lies


def test_a_run_that_does_not_begin_after_all_is_left_without_workspaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "#!/bin/sh\nexit 0\n")
    shown = tmp_path / "data"
    shown.mkdir()
    assert str(shown) in find_sandbox(ToolLimits(readable=(str(shown),)), tmp_path / "run" / "workspaces").readable
    assert not list((tmp_path / "run").iterdir())


def test_the_run_is_hidden_in_readable_folders_that_hold_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "#!/bin/sh\nexit 0\n")
    data = tmp_path / "data"
    run = data / "runs" / "one"
    (run / "given").mkdir(parents=True)
    (tmp_path / "link").symlink_to(data)
    monkeypatch.chdir(tmp_path)
    found = find_sandbox(ToolLimits(readable=(str(run / "given"), "data", "link")), run / "workspaces")
    assert found.around == (str(data), str(tmp_path / "link"))
    assert found.hidden == (str(run), str(tmp_path / "link" / "runs" / "one"))
    assert str(run / "given") in found.readable
