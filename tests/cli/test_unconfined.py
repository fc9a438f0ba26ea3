"""Who has commands run without a sandbox is told so, once, whoever runs them."""

import json

import pytest
from forked import concur

OWN_TOOL = """
from concur_batch.toolbox import ToolContext, tool

@tool
async def count(context: ToolContext) -> str:
    return (await context.run(["echo", "7"])).output

@tool
async def guess() -> str:
    return "7"
"""
OWN_AGENT = """
from concur_batch.agent import agent

@agent
async def go(task, ctx):
    await ctx.call("shell", {"command": "echo 7"})
    return "7"
"""


def told(folder, row, *options):
    (folder / "own.py").write_text(OWN_TOOL)
    (folder / "agents.py").write_text(OWN_AGENT)
    (folder / "job.jsonl").write_text(json.dumps({"prompt": "x", "n": 3, **row}) + "\n")
    done = concur("run", "job.jsonl", "--out", "out", "--no-live", "--set", "tools.sandbox=off", *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stderr.count("UNSAFE: the sandbox is switched off")


def calling(name):
    return {"script": [{"tool_calls": [{"name": name, "arguments": {}}]}, "done"]}


@pytest.mark.parametrize(
    ("row", "options"),
    [
        (calling("count"), ["--tools", "own.py"]),
        ({"script": ["done"]}, ["--agent", "agents.py:go"]),
        ({"script": ["done"], "tools": ["shell"]}, []),
    ],
)
def test_who_runs_commands_is_told(tmp_path, row, options):
    assert told(tmp_path, row, *options) == 1


def test_who_runs_none_is_not(tmp_path):
    assert told(tmp_path, calling("guess"), "--tools", "own.py") == 0
