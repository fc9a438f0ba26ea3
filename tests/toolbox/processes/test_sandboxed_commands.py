"""What commands reach of the machine, inside bubblewrap above all."""

from __future__ import annotations

import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from test_commands import MakeLimits, run, shell

from concur_batch.toolbox.limits import ToolLimits
from concur_batch.toolbox.processes.call import CommandResult


def confined(limits: ToolLimits) -> ToolLimits:
    if limits.sandbox == "off":
        pytest.skip("about the sandbox")
    return limits


@pytest.mark.parametrize("left", ["ln -s {0} .tmp", "ln -s /no/such .tmp", "touch .tmp"])
def test_what_lies_in_the_workspace_is_not_taken_for_the_temporary_folder(
    limits: MakeLimits, workspace: Path, tmp_path: Path, left: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()

    async def use(sh: Callable[[str], Awaitable[CommandResult]]) -> CommandResult:
        await sh(f"mv .tmp old; {left.format(outside)}")
        return await sh('echo kept > "$TMPDIR/planted"; cat "$TMPDIR/planted"')

    assert run(limits(), workspace, use) == CommandResult(output="kept\n", exit_code=0)
    assert not list(outside.iterdir())


@pytest.mark.parametrize("left", ["touch {0}", "ln -s /no/such {0}"])
def test_the_temporary_folder_is_made_anew_where_it_is_none(limits: MakeLimits, workspace: Path, left: str) -> None:
    folder = f"{workspace}.tmp"
    Path(folder).parent.mkdir(exist_ok=True)
    subprocess.run(["/bin/sh", "-c", left.format(folder)], check=True)
    assert shell(limits(), workspace, 'echo kept > "$TMPDIR/a"; cat "$TMPDIR/a"').output == "kept\n"


def test_temporary_files_are_kept_from_one_command_to_the_next(limits: MakeLimits, workspace: Path) -> None:
    async def use(sh: Callable[[str], Awaitable[CommandResult]]) -> CommandResult:
        await sh('echo kept > "$TMPDIR/a"')
        return await sh('cat "$TMPDIR/a"; ls -A')

    assert run(limits(), workspace, use).output == "kept\n"


def test_no_link_below_a_writable_folder_leads_bubblewrap_elsewhere(limits: MakeLimits, workspace: Path, tmp_path: Path) -> None:
    given = confined(limits())
    outside = tmp_path / "outside"
    outside.mkdir()
    below = workspace.relative_to("/tmp").parts[0] if workspace.is_relative_to("/tmp") else "any"
    temporary = workspace.with_name("one.tmp")
    temporary.mkdir()
    (temporary / below).symlink_to(f"/oldroot{outside}")  # as bubblewrap calls what it has left behind
    shell(given, workspace, "true")
    assert not list(outside.iterdir())
    (temporary / below).unlink()

    async def use(sh: Callable[[str], Awaitable[CommandResult]]) -> CommandResult:
        await sh("true")
        await sh(f"cd /tmp; mv {below} moved; rmdir {below} /dev/shm/{below}; ln -s /oldroot{outside} {below}")
        return await sh("pwd")

    assert run(given, workspace, use).output == f"{workspace}\n"
    assert not list(outside.iterdir())


def test_a_readable_folder_may_hold_the_run(limits: MakeLimits, workspace: Path, tmp_path: Path) -> None:
    given = confined(limits(readable=(str(tmp_path),)))
    (tmp_path / "table.csv").write_text("a,b")
    (tmp_path / "run" / "journal.jsonl").write_text("the answer")
    (workspace.parent / "other").mkdir()
    script = f"cat {tmp_path}/table.csv; touch mine {tmp_path}/x 2>/dev/null; cd {tmp_path}/run; ls . workspaces workspaces/one"
    told = shell(given, workspace, script).output
    assert told == "a,b.:\nworkspaces\n\nworkspaces:\none\n\nworkspaces/one:\nmine\n"
    assert not (tmp_path / "x").exists()


def test_a_readable_path_may_be_relative(
    limits: MakeLimits, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = confined(limits(readable=("table.csv",)))
    monkeypatch.chdir(tmp_path)
    Path("table.csv").write_text("a,b")
    assert shell(given, workspace, f"cat {tmp_path}/table.csv").output == "a,b"


def test_bubblewrap_shows_no_more_than_it_must(limits: MakeLimits, workspace: Path) -> None:
    given = confined(limits())
    (workspace.parent / "other").mkdir()
    (workspace.parent.parent / "journal.jsonl").write_text("the answer")
    script = f"""
touch /x /usr/x /etc/x /dev/x 2>/dev/null
ls {workspace.parent} {workspace.parent.parent}
cat {workspace.parent.parent}/journal.jsonl
cat /proc/net/dev | tail -n +3 | cut -d: -f1
touch mine /tmp/mine && ls mine /tmp/mine
ps -e 2>/dev/null | wc -l
"""
    result = shell(given, workspace, script)
    assert "the answer" not in result.output
    assert "other" not in result.output
    assert "mine\n" in result.output
    assert "eth0" not in result.output
    assert not [path for path in ("/x", "/usr/x", "/etc/x", "/dev/x") if Path(path).exists()]
