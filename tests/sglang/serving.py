"""The real SGLang server, for tests. It is only started where CONCUR_SGLANG_VENV names its environment."""

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

SERVE = Path(__file__).parents[2] / "tools" / "sglang_cpu" / "serve"
LONGEST_S = 900  # no server outlives the tests by more


class Server:
    """One server on one loopback port; may be stopped for a while, killed, and started again. `flags`: SGLang's own."""

    def __init__(self, log: Path, *flags: str, pool_tokens: int = 20_000, model: str = "tiny") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        self._command = [SERVE, "--port", str(self.port), "--for", str(LONGEST_S), "--log", log]
        self._command += ["--pool", str(pool_tokens), "--model", model, *flags]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Return when it is ready; `serve` gives up by itself after its patience."""
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        said = self._process.stdout.readline().strip()
        assert said == self.url, f"the server did not start; its log ends with:\n{self.log.read_text()[-3000:]}"

    def kill(self) -> None:
        """SIGKILL for all its processes at once: nobody says good-bye."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            everyone = psutil.Process(process.pid).children(recursive=True)
            for one in everyone:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
            _, alive = psutil.wait_procs(everyone, timeout=20)
            assert not alive
        process.kill()
        process.wait(20)
        assert process.stdout is not None
        process.stdout.close()

    def freeze(self) -> None:
        """SIGSTOP for all its processes: connections stay open, nobody answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        for one in psutil.Process(self._process.pid).children(recursive=True):
            one.send_signal(number)


@contextlib.contextmanager
def serving(folder: Path, *flags: str, pool_tokens: int = 20_000, model: str = "tiny") -> Iterator[Server]:
    """A server that is ready, and gone afterwards. Skips the test where there is no SGLang."""
    if not os.environ.get("CONCUR_SGLANG_VENV"):
        pytest.skip("CONCUR_SGLANG_VENV names no environment with SGLang (tools/sglang_cpu/README.md)")
    server = Server(folder / "sglang.log", *flags, pool_tokens=pool_tokens, model=model)
    try:
        server.start()
        yield server
    finally:
        server.kill()
