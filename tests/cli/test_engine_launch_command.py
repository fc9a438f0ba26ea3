"""`concur engine launch` with a stand-in for SGLang: a server process with workers of its own."""

import contextlib
import importlib.util
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest
from forked import CONCUR, PIPE, Program

from concur_batch.cli.engine import launch as module
from concur_batch.engine.launch_python import Installation
from concur_batch.errors import InputError

FAKE = Path(__file__).parent / "fake_sglang"
PATIENCE_S = 120  # for anything that would otherwise be waited for for ever


class Launch:
    """One call of it, on any free port unless `arguments` name one, and without a terminal.

    Its server's processes are in `pids`, once they are there. It is killed where a test takes too long.
    """

    def __init__(self, folder, *arguments, **environment):
        self._pids = folder / "pids"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CONCUR_")}
        self.process = Program(
            *("engine", "launch", "some/model", "--port", "0", *arguments),
            stdout=PIPE,
            stderr=PIPE,
            cwd=folder,
            env=clean | {"PYTHONPATH": str(FAKE), "FAKE_PIDS": str(self._pids), "TMPDIR": str(folder)} | environment,
            session=True,
        )
        self._patience = patience(self.process)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.communicate(timeout=60)
        self._patience.cancel()
        self.wait_gone()

    @property
    def pids(self):
        return json.loads(self._pids.read_text()) if self._pids.exists() else []

    def url(self):
        return self.process.stdout.readline().strip()

    def ended(self):
        """Exit code and the rest of what it said."""
        out, err = self.process.communicate(timeout=60)
        assert "Traceback" not in err, err
        return self.process.returncode, out, err

    def wait_started(self):
        end = time.monotonic() + 60
        while not self.pids:
            assert time.monotonic() < end, "the server has not started"
            time.sleep(0.05)

    def wait_gone(self):
        end = time.monotonic() + 20
        while any(alive(pid) for pid in self.pids):
            assert time.monotonic() < end, "something of the server is left"
            time.sleep(0.05)


def patience(process):
    """Kills it in the end, so that nobody who reads its output waits for ever."""
    timer = threading.Timer(PATIENCE_S, process.kill)
    timer.daemon = True
    timer.start()
    return timer


def alive(pid):
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def argv(url):
    with urlopen(f"{url}/argv", timeout=10) as answer:
        return json.load(answer)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_it_is_told_to_end(tmp_path, number):
    with Launch(tmp_path, "--patience", "inf") as launch:
        url = launch.url()
        assert argv(url)[:6] == ["--model-path", "some/model", "--host", "127.0.0.1", "--port", url.rpartition(":")[2]]
        assert argv(url)[6:] == ["--enable-metrics", "--enable-cache-report", "--enable-session-radix-cache"]
        assert len([pid for pid in launch.pids if alive(pid)]) == 3
        launch.process.send_signal(number)
        code, out, err = launch.ended()
        assert (code, out) == (0, "")
        assert "starting SGLang" in err
        assert "the fake starts" in err
        assert not any(alive(pid) for pid in launch.pids)


def test_killed_it_leaves_no_process(tmp_path):
    with Launch(tmp_path, "--then", "sh -c 'echo here; exec sleep 600'", "--", "--leaving") as launch:
        assert launch.url()
        assert launch.url() == "here"
        below = psutil.Process(launch.process.pid).children(recursive=True)
        assert len(below) >= 5  # guard, server, two workers that left its session, and the command
        launch.process.kill()
        _, left = psutil.wait_procs(below, timeout=40)
        assert left == []


def test_a_server_that_takes_too_long(tmp_path):
    with Launch(tmp_path, "--patience", "0.5", "--", "--slow", "600") as launch:
        code, out, err = launch.ended()
        assert (code, out) == (3, "")
    assert "the server was not ready within 0.5 s" in err


@pytest.mark.parametrize("where", [["--port"], ["--", "--port"]])
def test_a_port_that_is_taken(tmp_path, where):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        with Launch(tmp_path, *where, port) as launch:
            code, _, err = launch.ended()
    assert code == 2
    assert f"port {port} on 127.0.0.1 is in use" in err


def test_a_key_is_used_and_not_shown(tmp_path):
    env = "import os; print(os.environ['CONCUR_ENGINE'], os.environ['CONCUR_API_KEY'])"
    with Launch(tmp_path, "--then", f'python -c "{env}"', "--", "--api-key", "sesame") as launch:
        url = launch.url()
        code, out, err = launch.ended()
    assert (code, out) == (0, f"{url} sesame\n")
    assert "sesame" not in err


@pytest.mark.parametrize("code", [0, 5])
def test_ends_with_the_command(tmp_path, code):
    with Launch(tmp_path, "--then", f"python -c 'raise SystemExit({code})'") as launch:
        url = launch.url()
        assert url.startswith("http://127.0.0.1:")
        assert launch.ended()[:2] == (code, "")
        assert not any(alive(pid) for pid in launch.pids)
    (log,) = tmp_path.glob("concur-sglang-*.log")
    assert "the fake starts" in log.read_text()


def test_signals_are_for_the_command_which_may_finish(tmp_path):
    program = tmp_path / "drains.py"
    program.write_text(
        "import os, signal, time, urllib.request\n"
        "def drain(*_):\n"
        "    urllib.request.urlopen(os.environ['CONCUR_ENGINE'] + '/ready')\n"  # the server is still there
        "    print('drained', flush=True)\n"
        "    raise SystemExit(7)\n"
        "signal.signal(signal.SIGINT, drain)\n"
        "print('here', flush=True)\n"
        "time.sleep(60)\n"
    )
    with Launch(tmp_path, "--then", f"python {program}") as launch:
        assert launch.url()
        assert launch.url() == "here"
        launch.process.send_signal(signal.SIGINT)
        assert launch.ended()[:2] == (7, "drained\n")


@pytest.mark.parametrize("stdin", ["/dev/tty", "/dev/null"])
def test_ctrl_c_on_a_terminal_comes_once(tmp_path, stdin):
    program = tmp_path / "counts.py"
    program.write_text(
        "import signal, time\n"
        "came = []\n"
        "signal.signal(signal.SIGINT, lambda *_: came.append(1))\n"
        "print('here', flush=True)\n"
        "while not came:\n"
        "    time.sleep(0.1)\n"
        "time.sleep(1)\n"
        "print('came', len(came), flush=True)\n"
    )
    command = [*CONCUR, "engine", "launch", "m", "--port", "0", "--then", f"python {program}"]
    command = ["sh", "-c", f"exec {shlex.join(command)} <{stdin}"]
    with subprocess.Popen(
        [sys.executable, "-c", f"import pty; raise SystemExit(pty.spawn({command!r}) >> 8)"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(FAKE), "FAKE_PIDS": str(tmp_path / "pids"), "TMPDIR": str(tmp_path)},
    ) as terminal:
        timer = patience(terminal)
        said = [terminal.stdout.readline()]
        while b"here" not in said[-1]:
            assert said[-1], said
            said.append(terminal.stdout.readline())
        terminal.stdin.write(b"\x03")
        terminal.stdin.flush()
        rest = terminal.stdout.read()
        timer.cancel()
        assert b"came 1" in rest
    assert terminal.returncode == 0


def test_a_server_that_dies_ends_the_command_too(tmp_path):
    with Launch(tmp_path, "--then", "sleep 600") as launch:
        url = launch.url()
        with contextlib.suppress(OSError):
            urlopen(f"{url}/die", timeout=10)
        code, _, err = launch.ended()
    assert code == 3
    assert "  | RuntimeError: out of something" in err
    assert err.splitlines()[-1].startswith("concur: the server ended with code 9; what it said is in")


def test_a_server_that_dies_while_it_serves(tmp_path):
    with Launch(tmp_path, "--log", "server.log") as launch:
        with contextlib.suppress(OSError):
            urlopen(f"{launch.url()}/die", timeout=10)
        code, out, err = launch.ended()
    assert (code, out) == (3, "")
    assert "code 9; what it said is in server.log" in err


def test_a_server_that_does_not_start(tmp_path):
    with Launch(tmp_path, "--log", "server.log", "--", "--fail") as launch:
        code, out, err = launch.ended()
    assert (code, out) == (3, "")
    assert "the server ended with code 1; what it said is in server.log" in err
    assert "--no-session-cache" in err


def test_interrupted_while_it_loads(tmp_path):
    with Launch(tmp_path, "--", "--slow", "600") as launch:
        launch.wait_started()
        launch.process.send_signal(signal.SIGINT)
        code, out, _ = launch.ended()
        assert (code, out) == (130, "")
        assert not any(alive(pid) for pid in launch.pids)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--python", "/nowhere/python"], "there is no such Python"),
        (["--then", "no-such-program-here x"], "there is no program 'no-such-program-here'"),
        (["--then", "'"], "mind the quotes"),
        (["--log", "nowhere/at/all.log"], "--log nowhere/at/all.log: cannot be written"),
        (["--host", "no.such.host.invalid"], "there is no such address"),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_is_started(tmp_path, arguments, told):
    with Launch(tmp_path, *arguments) as launch:
        code, out, err = launch.ended()
    assert (code, out) == (2, "")
    assert told in err
    assert launch.pids == []


@pytest.mark.skipif(importlib.util.find_spec("sglang") is not None, reason="it is installed here")
def test_without_sglang_it_says_how_to_get_it(tmp_path):
    with Launch(tmp_path, PYTHONPATH="") as launch:
        code, _, err = launch.ended()
    assert code == 2
    assert "pip install 'concur-batch[sglang]'" in err
    assert "--python PATH" in err


def test_without_a_temporary_folder_it_names_it(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    monkeypatch.setattr(module, "find_sglang", lambda *_: Installation(sys.executable, None, ()))
    with pytest.raises(InputError, match=f"temporary folder {tmp_path}/nowhere: cannot be written .* with --log"):
        module.launch(module.Wish(model="m", port=0, then="true"))


@pytest.mark.parametrize("flag", [["--tp", "4"], ["--tp=4"]])
def test_flags_of_sglang_without_the_dashes_before_them(tmp_path, flag):
    with Launch(tmp_path, *flag) as launch:
        code, out, err = launch.ended()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "there is no option --tp" in err
    assert "SGLang's own flags come after --, as in" in err
