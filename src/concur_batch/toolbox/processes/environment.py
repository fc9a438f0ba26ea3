"""The environment of commands: a few harmless variables, none of the parent's secrets."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

PASSED_ON = ("LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH")
MARK = "CONCUR_CALL"  # carries a token by which strays of a call are found


def temporary_folder(workspace: Path) -> Path:
    """Where a workspace's commands keep temporary files: beside it, as in it a command could put a link to elsewhere there."""
    return workspace.with_name(f"{workspace.name}.tmp")


def command_environment(workspace: Path, temporary: str, token: str, parent: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The whole environment of one command."""
    path = parent.get("PATH") or "/usr/local/bin:/usr/bin:/bin"
    environment = {name: parent[name] for name in PASSED_ON if name in parent}
    environment.setdefault("LANG", "C.UTF-8")
    return environment | {
        "PATH": f"{Path(sys.executable).parent}:{path}",  # `python` is the interpreter that runs concur
        "HOME": str(workspace),
        "TMPDIR": temporary,
        MARK: token,
    }
