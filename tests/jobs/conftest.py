"""A job file from rows, and its check with small options."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from concur_batch.jobs.load import LoadOptions, load
from concur_batch.task import Task

TOOLS = frozenset({"search", "shell"})


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Rows (or ready lines) to a JSONL file; gives its name."""

    def write_rows(*rows: Any, name: str = "jobs.jsonl") -> str:
        path = tmp_path / name
        path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), encoding="utf-8")
        return str(path)

    return write_rows


@pytest.fixture
def tasks() -> Callable[..., list[Task]]:
    """All tasks of these files in running order."""

    def read(*named: str, **options: Any) -> list[Task]:
        with load(named, LoadOptions(known_tools=TOOLS, **options)) as job:
            return list(job)

    return read
