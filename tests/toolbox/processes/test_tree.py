from __future__ import annotations

import os
import subprocess

import pytest

from concur_batch.toolbox.processes import tree


@pytest.fixture(params=["children", "scan"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "scan":
        monkeypatch.setattr(tree, "_HAS_CHILDREN", False)


def test_descendants_and_what_they_use(way: None) -> None:
    script = "sleep 60 & echo $!; wait"
    with subprocess.Popen(["/bin/sh", "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        grandchild = int(process.stdout.readline())
        try:
            assert {process.pid, grandchild} <= set(tree.descendants(os.getpid()))
            assert list(tree.descendants(process.pid)) == [grandchild]
            used = tree.usage([process.pid, grandchild])
            assert used.processes == 2
            assert used.resident_bytes > 0
        finally:
            os.kill(grandchild, 9)
            process.kill()


def test_what_is_gone_uses_nothing() -> None:
    process = subprocess.Popen(["/bin/true"])
    process.wait()
    assert tree.usage([process.pid]) == (0, 0.0, 0)
    assert list(tree.descendants(process.pid)) == []
