"""SGLang on the CPU (tools/sglang_cpu), for as long as a block runs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

SERVE = Path(__file__).parents[1] / "sglang_cpu" / "serve"


@contextmanager
def serving(log: Path, seconds: float, options: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Its URL. `options`: of `serve` and SGLang; `environment`: variables to add. It lives `seconds` at most."""
    server = subprocess.Popen(
        [SERVE, "--for", str(seconds), "--log", log, *options],
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        if not url:
            raise SystemExit(f"the server did not start; its log ends with:\n{log.read_text()[-2000:]}")
        yield url
    finally:
        server.terminate()
        server.wait(30)
