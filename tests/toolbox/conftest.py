"""Commands are tested unconfined and, where bubblewrap works, inside it: a test that asks for `limits` runs in both."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from concur_batch.toolbox.limits import ToolLimits
from concur_batch.toolbox.processes.sandbox import find_sandbox


@cache
def has_bubblewrap() -> bool:
    return find_sandbox(ToolLimits(), Path("/nonexistent/run/workspaces")).name == "bubblewrap"


@pytest.fixture(params=["off", "bubblewrap"])
def limits(request: pytest.FixtureRequest) -> Callable[..., ToolLimits]:
    if request.param == "bubblewrap" and not has_bubblewrap():
        pytest.skip("bubblewrap does not work here")
    return lambda **given: ToolLimits(sandbox=request.param, **given)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "workspaces" / "one"
    path.mkdir(parents=True)
    return path
