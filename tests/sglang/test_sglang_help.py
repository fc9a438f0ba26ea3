"""The real server's own help for agents: sessions that are closed, priority by age. Used, and left alone."""

import re

import pytest
from batch import Batch
from serving import serving

from concur_batch import records as r

pytestmark = pytest.mark.sglang

TASKS, STEPS = 6, 9
RELEASED = re.compile(r"release_session (\S+): indexed (\d+)")


@pytest.fixture(scope="module")
def helping(tmp_path_factory):
    flags = ("--enable-session-radix-cache", "--enable-priority-scheduling")
    with serving(tmp_path_factory.mktemp("helping"), *flags) as server:
        yield server


@pytest.mark.parametrize("on", [True, False])
def test_a_batch_with_and_without(helping, tmp_path, on):
    said = len(helping.log.read_text())
    name = "on" if on else "off"
    more = ["--set", f"engine.sessions={name}", "--set", f"engine.priority={name}"]
    batch = Batch(tmp_path, helping.url, tasks=TASKS, name=name, more=more)
    with batch.running():
        pass
    batch.check_done_once(STEPS)
    batch.check_decisions()
    (seen,) = batch.of(r.EngineSeen)
    assert (seen.sessions, seen.priority, seen.note) == (on, on, None)

    # Every agent's end was told, after the last of its requests had left something that is now released.
    released = {session.partition("-")[2]: int(leaves) for session, leaves in RELEASED.findall(helping.log.read_text()[said:])}
    assert released.keys() == ({f"{task}#0" for task in batch.tasks} if on else set())
    assert all(leaves > 0 for leaves in released.values())
