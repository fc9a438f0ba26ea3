from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from concur_batch.toolbox.base import ToolOutput
from concur_batch.toolbox.builtin.commands import describe
from concur_batch.toolbox.limits import ToolLimits
from concur_batch.toolbox.load import load_tools
from concur_batch.toolbox.processes.call import CommandResult

MakeLimits = Callable[..., ToolLimits]


def calls(limits: ToolLimits, tmp_path: Path, *wanted: tuple[str, dict[str, str]]) -> list[ToolOutput]:
    async def story() -> list[ToolOutput]:
        tools = load_tools([], workspaces=tmp_path / "run" / "workspaces", limits=limits)
        opened = tools.open("task#0", 1)
        try:
            return [await opened.call(name, arguments) for name, arguments in wanted]
        finally:
            await opened.aclose()
            await tools.aclose()

    return asyncio.run(story())


def test_shell_and_python_share_the_workspace(limits: MakeLimits, tmp_path: Path) -> None:
    wrote, computed, checked, failed = calls(
        limits(),
        tmp_path,
        ("write_file", {"path": "numbers", "content": "1\n2\n3\n"}),
        ("python", {"code": "print(sum(map(int, open('numbers'))), file=open('sum', 'w'))"}),
        ("shell", {"command": 'test "$(cat sum)" = 6 && echo right'}),
        ("shell", {"command": 'test "$(cat sum)" = 7 || { echo wrong; exit 4; }'}),
    )
    assert wrote.ok
    assert computed == ToolOutput(content="(no output)")
    assert checked == ToolOutput(content="right\n")
    assert failed == ToolOutput(content="exit code 4\nwrong\n", ok=False, error_class="tool")


def test_what_cannot_be_run_is_told(limits: MakeLimits, tmp_path: Path) -> None:
    nul, long, halves, error = calls(
        limits(),
        tmp_path,
        ("shell", {"command": "echo \0"}),
        ("shell", {"command": "#" * 200_000}),
        ("python", {"code": "print('\udc80')"}),
        ("python", {"code": "1 / 0"}),
    )
    assert "NUL" in nul.content
    assert "longer than 120,000 bytes" in long.content
    assert halves.content.isprintable() or halves.content
    assert error.content.startswith("exit code 1\nTraceback")
    assert error.error_class == "tool"


def test_a_hundred_megabytes_are_cut_and_ended(limits: MakeLimits, tmp_path: Path) -> None:
    [output] = calls(limits(), tmp_path, ("python", {"code": "import sys\nfor _ in range(100): sys.stdout.write('x' * 1000000)"}))
    assert (output.ok, output.error_class, output.truncated) == (False, "sandbox", True)
    assert output.content.startswith("The command printed more than 10 MiB and was ended")
    assert len(output.content) < 16_100


def test_much_output_within_bounds_keeps_head_and_tail(limits: MakeLimits, tmp_path: Path) -> None:
    [output] = calls(limits(), tmp_path, ("shell", {"command": "echo first; seq 100000; echo last"}))
    assert (output.ok, output.truncated) == (True, True)
    assert output.content.startswith("first\n1\n")
    assert output.content.endswith("\n100000\nlast\n")
    assert output.content.count("left out here") == 1


@pytest.mark.parametrize(
    ("result", "text", "kind"),
    [
        (CommandResult(output="x", ended="wall"), "ran longer than 60 s", "tool"),
        (CommandResult(output="", ended="cpu"), "used more than 60 s of CPU time", "sandbox"),
        (CommandResult(output="", ended="memory"), "used more than 2048 MiB", "sandbox"),
        (CommandResult(output="", ended="processes"), "had more than 128 processes", "sandbox"),
        (CommandResult(output="", ended="cancelled"), "was stopped", "sandbox"),
        (CommandResult(output="", exit_code=137), "exit code 137 (SIGKILL)", "tool"),
        (CommandResult(output="", exit_code=153), "wrote a file of more than 256 MiB", "tool"),
        (CommandResult(output="", exit_code=255), "exit code 255\n", "tool"),
    ],
)
def test_every_end_is_told(result: CommandResult, text: str, kind: str) -> None:
    output = describe(result, ToolLimits())
    assert not output.ok
    assert text in output.content
    assert output.error_class == kind
