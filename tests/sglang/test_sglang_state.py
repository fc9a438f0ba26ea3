"""The simulator's cache, ratio and orders against SGLang's own classes, on a few random sequences."""

import json
import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.sglang

PROGRAM = Path(__file__).parents[2] / "tools" / "fidelity" / "state.py"


def test_the_simulator_keeps_state_as_sglang_does(tmp_path):
    environment = os.environ.get("CONCUR_SGLANG_VENV")
    if not environment:
        pytest.skip("CONCUR_SGLANG_VENV names no environment with SGLang (tools/sglang_cpu/README.md)")
    found = tmp_path / "found.json"
    command = [Path(environment, "bin", "python"), PROGRAM, "--sequences", "6", "--seed", "1", "--json", found]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    findings = json.loads(found.read_text())
    assert len(findings) == 15
    assert all(finding["operations"] and not finding["differences"] for finding in findings)
