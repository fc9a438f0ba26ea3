"""The simulator's decisions against those of a real scheduler under a short load."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.sglang

PROGRAM = Path(__file__).parents[2] / "tools" / "fidelity" / "decisions.py"


def test_the_simulator_decides_as_sglang_does(tmp_path):
    if not os.environ.get("CONCUR_SGLANG_VENV"):
        pytest.skip("CONCUR_SGLANG_VENV names no environment with SGLang (tools/sglang_cpu/README.md)")
    found = tmp_path / "found.json"
    command = [sys.executable, PROGRAM, "run", "plain", "--conversations", "12", "--json", found]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    plain = json.loads(found.read_text())["plain"]
    assert plain["prefill_batches"] > 20
    assert plain["prefill_identical"] >= 0.98
    assert plain["decode_identical"] >= 0.98
