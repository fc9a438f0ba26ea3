from __future__ import annotations

import re
from pathlib import Path

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
