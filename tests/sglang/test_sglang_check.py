"""`concur engine check` against the real server."""

import json
import subprocess
import sys

import pytest

CONCUR = [sys.executable, "-m", "concur_batch.cli.main"]

pytestmark = pytest.mark.sglang


def test_a_server_with_the_recommended_flags_is_full(server):
    table = subprocess.run([*CONCUR, "engine", "check", server.url], capture_output=True, text=True, timeout=120, check=False)
    assert table.returncode == 0, table.stdout + table.stderr
    assert table.stdout.endswith("\nCONCUR can work fully with this server.\n")
    done = subprocess.run([*CONCUR, "engine", "check", server.url, "--json"], capture_output=True, timeout=120, check=True)
    told = json.loads(done.stdout)
    assert (told["kind"], told["capacity_tokens"], told["statistics"]) == ("sglang", 20_000, ["/v1/loads", "/metrics"])
    assert told["resident"]
    assert told["cache_report"]
    turns = told["turns"]
    assert turns["first_cached"] <= 40  # of the template's opening
    assert turns["second_cached"] >= turns["first_prompt"] - 1  # one token per character: the first prompt is a prefix
