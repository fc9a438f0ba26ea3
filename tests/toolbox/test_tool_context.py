from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.toolbox.context import ToolContext, workspace_name
from concur_batch.toolbox.limits import ToolLimits
from concur_batch.toolbox.processes.command import Commands


@given(st.text(st.characters(), max_size=300), st.text(st.characters(), max_size=300))
def test_names_of_workspaces_are_safe_and_unique(one: str, other: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,70}", workspace_name(one))
    assert (workspace_name(one).lower() == workspace_name(other).lower()) == (one == other)


def test_a_context_makes_what_is_asked_for(tmp_path: Path) -> None:
    limits = ToolLimits()
    commands = Commands(limits, tmp_path)
    one, same = (
        ToolContext(rollout="../a#0", seed=7, workspaces=tmp_path / "w", commands=commands, limits=limits) for _ in range(2)
    )
    assert not (tmp_path / "w").exists()
    assert one.workspace.is_dir()
    assert one.workspace.parent == (tmp_path / "w").resolve()
    assert [one.random.random() for _ in range(3)] == [same.random.random() for _ in range(3)]
    assert one.random is one.random


def run(folder: Path, command: Any) -> str:
    async def main() -> str:
        limits = ToolLimits(sandbox="off")
        commands = Commands(limits, folder)
        context = ToolContext(rollout="a#0", seed=7, workspaces=folder, commands=commands, limits=limits)
        try:
            return (await context.run(command)).output
        finally:
            await commands.aclose()

    return asyncio.run(main())


def test_a_command_is_a_list_of_text_and_paths(tmp_path: Path) -> None:
    assert run(tmp_path, ["/bin/echo", Path("a b"), "c"]) == "a b c\n"
    assert run(tmp_path, (Path("/bin/echo"), "d")) == "d\n"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("ls -l", "as a list"),
        (b"ls", "as a list"),
        (Path("ls"), "as a list"),
        ([], "as a list"),
        (["sleep", 5], "5 is neither"),
        ([b"ls"], "b'ls' is neither"),
    ],
)
def test_what_is_no_such_list_is_refused(tmp_path: Path, command: Any, told: str) -> None:
    with pytest.raises(TypeError, match=f"context.run takes .*{told}"):
        run(tmp_path, command)
