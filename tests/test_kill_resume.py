"""The promise of `resume`, in small: killed at random moments, nothing is lost and nothing is done twice."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "tools" / "bench"


@pytest.mark.slow
def test_a_killed_run_loses_nothing_and_repeats_nothing() -> None:
    pytest.importorskip("uvicorn")
    argv = [sys.executable, str(BENCH / "kill_resume.py"), "--kills", "5", "--rollouts", "40", "--calls", "6", "--agents", "8"]
    done = subprocess.run(
        [*argv, "--latency", "0.1", "--timeout", "120"], capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
