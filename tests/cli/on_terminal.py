"""A program on a terminal of its own, as a person has it: what it shows, what is typed, how the terminal is set."""

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time

from forked import CONCUR, Program

_OWN_IT = "import fcntl, os, sys, termios; fcntl.ioctl(2, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
_CONTROLS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b.")


class OnTerminal:
    """A context manager: the program is gone when it is left. `shown`: everything that came, without control sequences."""

    def __init__(self, *command, cwd, rows=30, columns=100, **more):
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._slave = slave  # kept open, so that the setting can be read after the program's end
        self.before = termios.tcgetattr(slave)
        self._came = bytearray()
        env = {**os.environ, "TERM": "xterm", **more.pop("env", {})}
        streams = {"stdin": slave, "stdout": slave, "stderr": slave, **more}
        if command[: len(CONCUR)] == tuple(CONCUR):
            self.process = Program(*command[len(CONCUR) :], cwd=cwd, env=env, terminal=True, **streams)
        else:
            command = [sys.executable, "-c", _OWN_IT, *map(str, command)]
            self.process = subprocess.Popen(command, cwd=cwd, env=env, start_new_session=True, **streams)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(1)
        os.close(self._slave)
        os.close(self._master)

    def _read(self):
        while True:
            try:
                self._came += os.read(self._master, 65536)
            except OSError:
                return
            if self.process.poll() is not None and not self._more():
                return

    def _more(self):
        import select

        return bool(select.select([self._master], [], [], 0.2)[0])

    @property
    def shown(self):
        return _CONTROLS.sub("", self._came.decode("utf-8", "replace"))

    @property
    def raw(self):
        return bytes(self._came)

    def type(self, keys):
        os.write(self._master, keys.encode())

    def until(self, claim, what=""):
        """Wait until it holds."""
        for _ in range(1200):
            if claim():
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"{what or claim}: did not come; shown:\n{self.shown[-3000:]}")

    def until_shown(self, text, after=0):
        self.until(lambda: text in self.shown[after:], text)

    @property
    def takes_lines(self):
        """Set as a shell leaves it: whole lines, echoed."""
        flags = termios.tcgetattr(self._slave)[3]
        return bool(flags & termios.ICANON and flags & termios.ECHO)

    @property
    def is_as_before(self):
        return termios.tcgetattr(self._slave) == self.before and self.is_blocking

    @property
    def is_blocking(self):
        """As whoever else reads and writes there expects; the program's descriptors are copies of ours."""
        return not fcntl.fcntl(self._slave, fcntl.F_GETFL) & os.O_NONBLOCK

    def code(self):
        return self.process.wait(timeout=90)
