"""The measuring half: how its time is shared out, and what it keeps where something fails."""

import time
from pathlib import Path

import measure
import pytest
import run
from test_gpu_plan import row


@pytest.fixture
def given(tmp_path: Path):
    trace = tmp_path / "trace.jsonl"
    trace.write_text("\n".join(row(1200, 8) for _ in range(4)))
    return run.options(["--cpu", "--trace", str(trace), "--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")])


def test_a_run_that_is_cut_drains_before_its_driver_is_ended(given, tmp_path: Path) -> None:
    of = measure.Measuring(given)
    argv = of.driver_argv("http://127.0.0.1:1", "off", 0, tmp_path / "one.json")
    option = {name: float(argv[argv.index(name) + 1]) for name in ("--timeout-s", "--drain-s")}
    left = given.until - time.monotonic() - measure.CLOSING_S  # then the driver is ended
    assert option["--drain-s"] > 0
    assert left - sum(option.values()) == pytest.approx(measure.DRIVER_S, abs=1.0)
