"""`concur` in a process of its own, as users start it, without the half second that its imports take.

Run as a program, this file is the one process that has imported them all; each `Program` is forked from it, and is from then on what
`python -m concur_batch.cli.main` is: it has its own arguments, folder, environment, streams, session and terminal, and ends as Python
does. What depends on the start of the interpreter itself is for `subprocess` with `CONCUR`.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import termios
import threading
from subprocess import DEVNULL, PIPE, STDOUT

CONCUR = [sys.executable, "-m", "concur_batch.cli.main"]
_WORD = 8
_REQUEST_BYTES = 1 << 20


def concur(*arguments, cwd, stdin=None, env=None, columns=100, stdout=PIPE, stderr=PIPE, timeout=120):
    """What it said and its exit code, as `subprocess.run` gives them."""
    more = {"env": {**(os.environ if env is None else env), "COLUMNS": str(columns)}, "stdout": stdout, "stderr": stderr}
    with Program(*arguments, cwd=cwd, stdin=DEVNULL if stdin is None else PIPE, **more) as program:
        out, err = program.communicate(stdin, timeout=timeout)
    return subprocess.CompletedProcess(["concur", *arguments], program.returncode, out, err)


class Program:
    """As `subprocess.Popen` of it, with text streams. With `terminal`, its standard error becomes its controlling terminal."""

    def __init__(self, *arguments, cwd=None, env=None, stdin=DEVNULL, stdout=None, stderr=None, session=False, terminal=False):
        self.stdin = self.stdout = self.stderr = self.returncode = None
        theirs = []
        with contextlib.ExitStack() as stack:
            for number, (name, wanted) in enumerate((("stdin", stdin), ("stdout", stdout), ("stderr", stderr))):
                fd = number if wanted is None else wanted
                if wanted == PIPE:
                    reading, writing = os.pipe()
                    fd, ours = (reading, writing) if number == 0 else (writing, reading)
                    stack.callback(os.close, fd)
                    setattr(self, name, open(ours, "w" if number == 0 else "r", encoding="utf-8"))  # noqa: PTH123, SIM115 - a pipe
                elif wanted == DEVNULL:
                    fd = os.open(os.devnull, os.O_RDWR)
                    stack.callback(os.close, fd)
                elif wanted == STDOUT:
                    fd = theirs[1]
                theirs.append(fd if isinstance(fd, int) else fd.fileno())
            self._status, told = socket.socketpair()
            stack.callback(told.close)
            request = {
                "arguments": list(map(str, arguments)),
                "cwd": os.fspath(cwd or os.getcwd()),  # noqa: PTH109 - as it is spelled
                "env": dict(os.environ if env is None else env),
                "session": session or terminal,
                "terminal": terminal,
            }
            socket.send_fds(_parent(), [json.dumps(request).encode()], [*theirs, told.fileno()])
        self.pid = self._word()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self.wait()

    def _word(self):
        word = self._status.recv(_WORD, socket.MSG_WAITALL)
        assert len(word) == _WORD, "the process that programs are forked from has ended; see what it said"
        return int.from_bytes(word, "big", signed=True)

    def wait(self, timeout=None):
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._status, selectors.EVENT_READ)
                if not selector.select(timeout):
                    raise subprocess.TimeoutExpired("concur", timeout)
            self.returncode = self._word()
            self._status.close()
        return self.returncode

    def poll(self):
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def communicate(self, text=None, timeout=None):
        """All that it still says, until it has ended; it is killed where that takes too long."""
        if self.stdin is not None:
            _Beside(self._tell, text or "")
        readers = [stream and _Beside(stream.read) for stream in (self.stdout, self.stderr)]
        for reader in filter(None, readers):
            reader.join(timeout)
            if reader.is_alive():
                self.kill()
                raise subprocess.TimeoutExpired("concur", timeout)
        self.wait(timeout)
        return tuple(reader and reader.result for reader in readers)

    def _tell(self, text):
        with contextlib.suppress(BrokenPipeError), self.stdin:
            self.stdin.write(text)

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def terminate(self):
        self.send_signal(signal.SIGTERM)


@contextlib.contextmanager
def simulator(*options):
    """The address of a simulated server in a process of its own."""
    server = Program("engine", "sim", "--port", "0", *options, stdout=PIPE)
    try:
        yield server.stdout.readline().split()[-1]
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(20)
        server.stdout.close()


class _Beside(threading.Thread):
    def __init__(self, act, *arguments):
        super().__init__(daemon=True)
        self._act, self._arguments = act, arguments
        self.start()

    def run(self):
        self.result = self._act(*self._arguments)


@functools.cache
def _parent():
    """Where requests go; it ends with us."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _REQUEST_BYTES)
        quiet = ["-W", "ignore::DeprecationWarning:__main__"]  # pyarrow's allocator has a thread, and knows how to be forked
        command = [sys.executable, *quiet, __file__, str(theirs.fileno())]
        env = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        process = subprocess.Popen(command, env=env, stdin=DEVNULL, pass_fds=[theirs.fileno()])

    def leave():
        ours.close()
        process.wait(20)

    atexit.register(leave)
    return ours


# What follows runs in the process that has imported everything, and in those forked from it ------------------------------------


def _serve(requests):
    """Fork for each request; returns in the forked process, with the request, and None once nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever asks
    waking, woken = socket.socketpair()
    for end in (waking, woken):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken.fileno())
    told = {}
    with selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        selector.register(waking, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is waking:
                    waking.recv(4096)
                    _tell_of_ended(told)
                    continue
                request, fds, _, _ = socket.recv_fds(requests, _REQUEST_BYTES, 4)
                if not request:
                    return None
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    for one in (requests, waking, woken, *told.values()):
                        one.close()
                    return json.loads(request), fds
                told[pid] = socket.socket(fileno=fds.pop())
                told[pid].send(pid.to_bytes(_WORD, "big"))
                for fd in fds:
                    os.close(fd)


def _tell_of_ended(told):
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            one = told.pop(ended[0])
            with contextlib.suppress(OSError):  # whoever asked is gone
                one.send(os.waitstatus_to_exitcode(ended[1]).to_bytes(_WORD, "big", signed=True))
            one.close()


def _become(request, fds):
    """This process, as if it had been started so."""
    for number in (signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    if request["session"]:
        os.setsid()
    for number, fd in enumerate(fds[:3]):
        os.dup2(fd, number)
    for fd in fds:
        os.close(fd)
    if request["terminal"]:
        fcntl.ioctl(2, termios.TIOCSCTTY, 0)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.path[:] = [*filter(None, request["env"].get("PYTHONPATH", "").split(os.pathsep)), *sys.path[1:]]
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as Python opens them
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    sys.argv = [sys.modules["concur_batch.cli.main"].__file__, *request["arguments"]]


def _import_all():
    import concur_batch

    for module in pkgutil.walk_packages(concur_batch.__path__, "concur_batch."):
        with contextlib.suppress(Exception):  # an extra that is not installed; a fault is for the program that needs the module
            importlib.import_module(module.name)
    for name in ("aiohttp", "openai", "pyarrow.parquet", "uvicorn", "uvloop"):
        importlib.import_module(name)


if __name__ == "__main__":
    requests = socket.socket(fileno=int(sys.argv[1]))
    _import_all()
    gc.collect()
    gc.freeze()
    if (forked := _serve(requests)) is not None:
        _become(*forked)
        sys.modules["__main__"] = sys.modules["concur_batch.cli.main"]
        sys.modules["__main__"].main()
