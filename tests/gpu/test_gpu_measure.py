"""The measuring half: how its time is shared out, and what it keeps where something fails."""

import contextlib
import json
import tarfile
import time
from pathlib import Path
from types import SimpleNamespace

import measure
import pytest
import run
import server
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


def test_a_server_that_goes_away_is_told_and_what_was_measured_is_kept(given, monkeypatch, capsys) -> None:
    @contextlib.contextmanager
    def served(of: measure.Measuring, _pool: int):
        (of.runs / "0").mkdir(parents=True)
        of.record.add({"controller": "off", "makespan_s": 2.0, "finished": True})
        yield SimpleNamespace(url=f"http://127.0.0.1:{server.free_port()}", log=of.out / "server.log")

    monkeypatch.setattr(measure.Measuring, "served", served)
    monkeypatch.setattr(run, "options", lambda: given)
    monkeypatch.setattr(measure.signal, "signal", lambda *_: None)
    assert measure.main() == 1
    said = capsys.readouterr().out
    assert "/server_info: <urlopen error [Errno 111] Connection refused>; see" in said
    assert said.splitlines()[-1].split()[0] == "off"
    assert len(json.loads((given.out / "results.json").read_text())["runs"]) == 1
    with tarfile.open(given.out / "journals.tar.gz") as archive:
        assert archive.getnames()[-1].endswith("/0")


def test_a_trace_that_cannot_be_read_is_told(given, monkeypatch, capsys) -> None:
    given.trace.unlink()
    monkeypatch.setattr(run, "options", lambda: given)
    monkeypatch.setattr(measure.signal, "signal", lambda *_: None)
    assert measure.main() == 1
    assert f"No such file or directory: '{given.trace}'" in capsys.readouterr().out
