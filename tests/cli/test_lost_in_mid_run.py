"""A run directory, or its journal, that is moved or removed while the run goes on."""

import json

import pytest
from forked import concur

TOOLS = """
import pathlib
from concur_batch.toolbox import tool

@tool
def lose(what: str) -> str:
    "Move a part of the run away, or all of it."
    pathlib.Path(what).rename("elsewhere")
    return "gone"
"""
KEEP = "cat > told.json"


@pytest.fixture
def job(tmp_path):
    """One agent that first takes away what its task names."""

    def write(what):
        calls = [{"tool_calls": [{"name": "lose", "arguments": {"what": what}}]}, "done"]
        (tmp_path / "job.jsonl").write_text(json.dumps({"id": "a", "prompt": "x", "script": calls}) + "\n")
        (tmp_path / "tools.py").write_text(TOOLS)
        return concur("run", "job.jsonl", "--tools", "tools.py", "--out", "out", "--no-live", "--on-exit", KEEP, cwd=tmp_path)

    return write


@pytest.mark.parametrize(("what", "named"), [("out", "out"), ("out/journal", "out/journal/000001.jsonl")])
def test_it_is_told_and_can_be_gone_on_with_where_it_is_put_back(tmp_path, job, what, named):
    ran = job(what)
    assert ran.returncode == 2, ran.stderr
    assert ran.stderr.endswith(
        f"concur: {named}: was moved or removed during the run, so its results could not be written; "
        "put it back and give: concur resume out\n"
    )
    said = json.loads((tmp_path / "told.json").read_text())
    assert (said["exit_code"], said["ended"], said["statuses"]) == (2, "finished", {"completed": 1})
    assert "was moved or removed" in said["error"]["message"]
    (tmp_path / "elsewhere").rename(tmp_path / what)
    assert concur("resume", "out", "--no-live", cwd=tmp_path).returncode == 0
    assert "completed" in concur("results", "out", cwd=tmp_path).stdout


def test_the_results_of_an_earlier_process_are_not_taken_for_those_of_a_resumed_run(tmp_path, job):
    assert job("nothing").returncode == 0  # the tool fails, and the agent goes on
    more = {
        "id": "b",
        "prompt": "x",
        "script": [{"tool_calls": [{"name": "lose", "arguments": {"what": "out/journal"}}]}, "done"],
    }
    with (tmp_path / "job.jsonl").open("a") as lines:
        lines.write(json.dumps(more) + "\n")
    ran = concur("resume", "out", "--no-live", cwd=tmp_path)
    assert ran.returncode == 2, ran.stderr
    assert "out/journal/000002.jsonl: was moved or removed during the run" in ran.stderr
