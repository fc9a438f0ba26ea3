"""The end of a segment, as far as a whole run does not come to it."""

import contextlib
import io
import json
from pathlib import Path

import pytest
from forked import concur
from rich.console import Console

from concur_batch.agent.replay import History
from concur_batch.cli import parts
from concur_batch.cli.run.finish import finish
from concur_batch.cli.run.segment import Batch, Outcome
from concur_batch.config import resolve
from concur_batch.errors import RunDirectoryError
from concur_batch.jobs.load import load
from concur_batch.journal.writer import JournalWriter
from concur_batch.plan import Retry
from concur_batch.state import RunState
from concur_batch.toolbox.load import load_tools


def test_a_run_whose_first_record_found_no_room_is_gone_on_with(tmp_path):
    """There was room again when its results were to be written: they would have been those of nothing."""
    (tmp_path / "job.jsonl").write_text(json.dumps({"id": "t", "prompt": "x", "script": ["done"]}))
    out = tmp_path / "out"
    assert concur("run", "job.jsonl", "--out", "out", cwd=tmp_path).returncode == 0
    for path in (*out.glob("*.parquet"), out / "summary.json", *out.glob("journal/*")):
        path.unlink()
    writer = JournalWriter(out)
    writer.path.write_text('{"v":1,"kind":"segment_st')  # as much as there was room for
    writer.close()
    config = resolve({}, [], None, {})
    tools = load_tools([], limits=parts.tool_limits(config), workspaces=out / "workspaces")
    with contextlib.closing(load([str(tmp_path / "job.jsonl")], parts.load_options(config, tools), spool=tmp_path)) as job:
        quiet = Console(file=io.StringIO())
        batch = Batch(
            run_dir=out,
            config=config,
            job=job,
            toolbox=tools,
            history=History(),
            state=RunState(),
            retry=Retry(),
            console=quiet,
            segment=writer.path,
        )
        full = RunDirectoryError("no room")
        with pytest.raises(RunDirectoryError) as raised:
            finish(batch, Outcome(cause="failed", error=full))
    assert raised.value is full
    resumed = concur("resume", "out", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads((Path(out) / "summary.json").read_text())["statuses"] == {"completed": 1}
