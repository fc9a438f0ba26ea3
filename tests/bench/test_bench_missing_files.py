"""Programs that are given a file which is not there say so, before they run anything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.mark.parametrize(
    ("program", "arguments", "said"),
    [
        ("bench/control_ceiling.py", ["--against", "none.jsonl"], "--against none.jsonl: there is no such file"),
        ("bench/simulate_cpu.py", [], "there is no file none.jsonl, which CONCUR_TRACE names"),
        ("fidelity/behaviour.py", ["--again", "none"], "--again none: nothing has been measured there"),
    ],
)
def test_it_is_told_in_a_sentence(tmp_path, program, arguments, said):
    env = {**os.environ, "CONCUR_TRACE": "none.jsonl"}
    command = [sys.executable, TOOLS / program, *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
