"""The program itself: its options, a dry run, and all of it with a small model on a CPU."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import psutil
import pytest
import run
import server
from install import StageError
from test_gpu_plan import row

PROGRAM = Path(run.__file__)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.jsonl"
    path.write_text("\n".join(row(1200 + 10 * n, 8) for n in range(12)))
    return path


def called(*arguments: str | Path, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    variables = {key: value for key, value in os.environ.items() if key not in ("OUT", "CONCUR_TRACE")}
    return subprocess.run(
        [sys.executable, PROGRAM, *arguments], check=False, capture_output=True, text=True, timeout=seconds, env=variables
    )


def test_a_dry_run_tells_the_plan_and_starts_nothing(trace: Path, tmp_path: Path) -> None:
    told = called("--dry-run", "--trace", trace, "--out", tmp_path / "out", "--agents", "8", "--work", tmp_path / "work")
    assert told.returncode == 0, told.stderr
    assert '"agents": 8' in told.stdout
    assert "controllers: off, fixed:" in told.stdout
    assert "--attention-backend triton" in told.stdout
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "work").exists()


def test_without_wheels_nothing_is_begun(trace: Path, tmp_path: Path) -> None:
    told = called("--trace", trace, "--out", tmp_path / "out")
    assert told.returncode == 2
    assert "--wheels is missing" in told.stderr


def test_a_trace_that_is_not_there_is_told(tmp_path: Path) -> None:
    told = called("--dry-run", "--trace", tmp_path / "nothere.jsonl")
    assert told.returncode == 2
    assert told.stderr.splitlines()[-1].endswith(
        f"there is no file {tmp_path / 'nothere.jsonl'}; --trace or CONCUR_TRACE names the trace"
    )


@pytest.mark.parametrize("way", ["--dry-run", "--cpu"])
def test_a_python_without_concurs_packages_is_told(way: str, trace: Path, tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-S", PROGRAM, way, "--trace", trace, "--out", tmp_path / "out"],
        check=False, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": ""},
    )  # fmt: skip
    assert told.returncode == 1
    assert told.stderr.count("\n") == 1
    assert "lacks msgspec" in told.stderr
    assert "PYTHON=.venv/bin/python" in told.stderr


def test_an_empty_folder_of_wheels_is_told(trace: Path, tmp_path: Path) -> None:
    told = called("--trace", trace, "--out", tmp_path / "out", "--wheels", tmp_path)
    assert told.returncode == 1
    assert f"there are no wheels in {tmp_path}; run `tools/gpu/wheels" in told.stderr


def test_a_machine_that_is_not_the_right_one_is_told(trace: Path, tmp_path: Path) -> None:
    (tmp_path / "one-1.0-py3-none-any.whl").touch()
    told = called("--trace", trace, "--out", tmp_path / "out", "--wheels", tmp_path)
    assert told.returncode == 1
    assert "PyTorch" in told.stderr


def test_a_trace_that_does_not_fit_is_told(trace: Path, tmp_path: Path) -> None:
    told = called("--dry-run", "--trace", trace, "--out", tmp_path / "out", "--token-scale", "900", "--work", tmp_path / "work")
    assert told.returncode == 1
    assert "see --calls and --token-scale" in told.stdout


def test_the_server_listens_on_loopback_and_loads_no_weights(tmp_path: Path) -> None:
    argv = server.gpu_argv(tmp_path, 30000, 58_000, 40_960, ["--log-level", "debug"])
    assert argv[argv.index("--host") + 1] == "127.0.0.1"
    assert argv[argv.index("--load-format") + 1] == "dummy"
    assert argv[argv.index("--max-total-tokens") + 1] == "58000"
    assert argv[-2:] == ["--log-level", "debug"]


def test_a_server_that_ends_at_once_is_told_with_its_last_words(tmp_path: Path) -> None:
    program = [sys.executable, "-c", "import sys; sys.exit('no such kernel')"]
    running = server.Server(program, server.free_port(), tmp_path / "log", os.environ)
    with pytest.raises(StageError, match="no such kernel"):
        running.wait(20, print)
    running.stop()


def test_a_server_that_hangs_is_ended_with_all_its_processes(tmp_path: Path) -> None:
    child = "import subprocess, sys, time; subprocess.Popen(['sleep', '600']); time.sleep(600)"
    running = server.Server([sys.executable, "-c", child], server.free_port(), tmp_path / "log", os.environ)
    with pytest.raises(StageError, match="not ready after"):
        running.wait(1.5, print)
    running.stop()
    assert _gone(running.group)


# The worker says whether it got SIGTERM. The first process: ends at SIGTERM, or does not listen.
WORKER = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("asked to end", flush=True))
print("up", flush=True)
time.sleep(600)
"""
FIRST = "import signal, subprocess, sys, time; {deaf}subprocess.Popen([sys.executable, '-c', sys.argv[1]]); time.sleep(600)"


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """tools/sglang_cpu/serve.py, without what writes the model."""
    monkeypatch.setitem(sys.modules, "tiny_model", ModuleType("tiny_model"))
    spec = importlib.util.spec_from_file_location("serve", server.CPU_SERVE.with_suffix(".py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("deaf", [False, True])
@pytest.mark.parametrize("tool", ["gpu", "cpu"])
def test_only_the_first_process_is_asked_to_end_and_then_all_are_gone(
    tool: str, deaf: bool, serve: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_POLITE_S", 0.5)
    monkeypatch.setattr(serve, "POLITE_S", 0.5)
    log = tmp_path / "log"
    first = FIRST.format(deaf="signal.signal(signal.SIGTERM, signal.SIG_IGN); " if deaf else "")
    argv = [sys.executable, "-c", first, WORKER]
    if tool == "gpu":
        running = server.Server(argv, server.free_port(), log, os.environ)
        group, stop = running.group, running.stop
    else:
        with log.open("wb") as out:
            process = subprocess.Popen(argv, stdout=out, process_group=0)
        group, stop = process.pid, lambda: serve.stop(process)
    end = time.monotonic() + 20
    while "up" not in log.read_text().splitlines() and time.monotonic() < end:
        time.sleep(0.05)
    stop()
    assert log.read_text().splitlines()[-1] == "up"
    assert _gone(group)


def _gone(group: int) -> bool:
    """Whether its processes end, soon: those that nobody here waits for are still there a moment after SIGKILL."""
    end = time.monotonic() + 20
    while _alive(group) and time.monotonic() < end:
        time.sleep(0.05)
    return not _alive(group)


def _alive(group: int) -> bool:
    alive = [one for one in psutil.process_iter(["status"]) if one.info["status"] != "zombie"]
    return group in {_group(one.pid) for one in alive}


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


@pytest.mark.sglang
def test_all_of_it_with_a_small_model(trace: Path, tmp_path: Path) -> None:
    if not os.environ.get("CONCUR_SGLANG_VENV"):
        pytest.skip("CONCUR_SGLANG_VENV is not set")
    told = called(
        "--cpu", "--trace", trace, "--out", tmp_path / "out", "--work", tmp_path / "work", "--agents", "6",
        "--token-scale", "1", "--controllers", "off,fixed:2", "--minutes", "5", seconds=330,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    kept = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [found["controller"] for found in kept["runs"]] == ["off", "fixed:2"]
    assert all(found["finished"] for found in kept["runs"])
    table = told.stdout.splitlines()[-3:]
    assert table[0].split()[0] == "controller"
    assert [line.split()[0] for line in table[1:]] == ["off", "fixed:2"]
