"""The server under test, once the real one, once the simulated one. A module names the flavour it wants as FLAVOUR."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from conformance_client import Target
from serving import serving

HERE = Path(__file__).parent
PROGRAM = Path(sys.executable).with_name("concur")


class Flavour(NamedTuple):
    """The same server twice: SGLang's flags, and the simulator's keys."""

    pool_tokens: int = 20_000
    flags: str = ""
    keys: str = "max_running_requests=64"


FLAVOURS = {
    "plain": Flavour(),
    "priority": Flavour(
        flags="--enable-priority-scheduling --max-running-requests 2",
        keys="priority_scheduling=true max_running_requests=2",
    ),
    "small": Flavour(
        pool_tokens=2_000,
        flags="--enable-session-radix-cache --schedule-conservativeness 0.05",
        keys="max_running_requests=64 session_cache=true schedule_conservativeness=0.05",
    ),
}


@contextmanager
def simulating(flavour: Flavour) -> Iterator[int]:
    """The program as users start it, with iterations of some milliseconds. Gives its port."""
    command = [PROGRAM, "engine", "sim", "--port", "0", "--profile", HERE / "cpu.toml", "--pool-tokens", str(flavour.pool_tokens)]
    command += ["--chars-per-token", "1", "--template-tokens", "--model", "tiny"]
    for key in flavour.keys.split():
        command += ["--set", f"sim.{key}"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        try:
            yield int(program.stdout.readline().rpartition(":")[2])
        finally:
            program.terminate()
            program.wait(20)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """In session scope, pytest brings the tests of one server together."""
    if "target" in metafunc.fixturenames:
        flavour = metafunc.module.FLAVOUR
        params = [
            pytest.param((flavour, "sim"), id=f"sim-{flavour}"),
            pytest.param((flavour, "sglang"), id=f"sglang-{flavour}", marks=pytest.mark.sglang),
        ]
        metafunc.parametrize("target", params, indirect=True, scope="session")


_open = ExitStack()  # the one server that runs


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    name, kind = request.param
    flavour = FLAVOURS[name]
    with _open:
        if kind == "sim":
            port = _open.enter_context(simulating(flavour))
        else:
            folder = tmp_path_factory.mktemp(name)
            port = _open.enter_context(serving(folder, *flavour.flags.split(), pool_tokens=flavour.pool_tokens)).port
        found = Target(kind, port)
        found.get("/ready")
        found.fresh = found.get("/metrics").text
        _open.callback(found.close)
        yield found


@pytest.fixture(autouse=True)
def _quiet(target: Target) -> None:
    """Tests do not see each other."""
    target.quiet()


def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """Do not leave a server running beside tests of others."""
    if nextitem is None or HERE not in nextitem.path.parents:
        _open.close()
