"""Commands on real processes: what they may use, how they end, and that nothing is left of them."""

from __future__ import annotations

import asyncio
import itertools
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import psutil
import pytest
import uvloop

from concur_batch.toolbox.limits import ToolLimits
from concur_batch.toolbox.processes.call import CommandResult
from concur_batch.toolbox.processes.command import Commands

MakeLimits = Callable[..., ToolLimits]
_numbers = itertools.count(1)


def processes_with(text: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if text in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.fixture
def seconds() -> str:
    """An argument for `sleep` by which a test finds its own process."""
    return f"9{os.getpid()}.{next(_numbers)}5"


def run(
    limits: ToolLimits, workspace: Path, use: Callable[[Callable[[str], Awaitable[CommandResult]]], Awaitable[CommandResult]]
) -> CommandResult:
    async def main() -> CommandResult:
        commands = Commands(limits, workspace.parent)
        try:
            return await use(lambda script: commands.run(["/bin/sh", "-c", script], workspace=workspace, owner="one"))
        finally:
            await commands.aclose()

    return asyncio.run(main())


def shell(limits: ToolLimits, workspace: Path, script: str) -> CommandResult:
    return run(limits, workspace, lambda sh: sh(script))


def test_output_and_exit_code(limits: MakeLimits, workspace: Path) -> None:
    assert shell(limits(), workspace, "echo out; echo err >&2; pwd; exit 3") == CommandResult(
        output=f"out\nerr\n{workspace}\n", exit_code=3
    )


def test_a_program_that_does_not_exist(limits: MakeLimits, workspace: Path) -> None:
    async def main() -> CommandResult:
        commands = Commands(limits(), workspace.parent)
        try:
            return await commands.run(["no-such-program"], workspace=workspace)
        finally:
            await commands.aclose()

    result = asyncio.run(main())
    assert result.exit_code not in (0, None)
    assert "no-such-program" in result.output


def test_stdin_is_given_and_ends(limits: MakeLimits, workspace: Path) -> None:
    async def main() -> CommandResult:
        commands = Commands(limits(), workspace.parent)
        try:
            return await commands.run(["/bin/cat"], workspace=workspace, stdin=b"x" * 300_000)
        finally:
            await commands.aclose()

    result = asyncio.run(main())
    assert result.exit_code == 0
    assert "of 300,000 bytes left out" in result.output


def test_secrets_of_the_parent_are_absent(limits: MakeLimits, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("SOME_TOKEN", "sk-secret")
    result = shell(limits(), workspace, 'env; cat "/proc/$PPID/environ"; echo end')
    assert "sk-secret" not in result.output
    assert f"HOME={workspace}" in result.output
    assert "end" in result.output


def test_much_output_ends_the_command(limits: MakeLimits, workspace: Path) -> None:
    result = shell(limits(output_mib=1), workspace, "echo first; head -c 100000000 /dev/zero | tr '\\0' x; echo last")
    assert result.ended == "output"
    assert result.truncated
    assert result.output.startswith("first\n")
    assert len(result.output) < 20_000


def test_wall_time_ends_the_tree(limits: MakeLimits, workspace: Path, seconds: str) -> None:
    result = shell(limits(wall_s=0.3), workspace, f"echo begun; sleep {seconds}")
    assert (result.ended, result.output) == ("wall", "begun\n")
    assert not processes_with(seconds)


def test_cpu_time_of_the_tree_is_bounded(limits: MakeLimits, workspace: Path) -> None:
    result = shell(limits(cpu_s=1, wall_s=60), workspace, "for i in 1 2 3; do (while :; do :; done) & done; wait")
    assert result.ended == "cpu"


def test_memory_of_one_process_is_bounded(limits: MakeLimits, workspace: Path) -> None:
    result = shell(limits(memory_mib=200), workspace, f"{sys.executable} -I -S -c 'x = bytes(300 << 20)'")
    assert result.exit_code == 1
    assert "MemoryError" in result.output


def test_memory_of_the_tree_is_bounded(limits: MakeLimits, workspace: Path) -> None:
    one = f"{sys.executable} -I -S -c 'import time; x = b\"x\" * (60 << 20); time.sleep(60)'"
    result = shell(limits(memory_mib=150), workspace, f"{one} & {one} & {one} & {one} & wait")
    assert result.ended == "memory"


def test_file_size_is_bounded(limits: MakeLimits, workspace: Path) -> None:
    result = shell(limits(file_size_mib=1), workspace, "exec head -c 5000000 /dev/zero > big")
    assert result.exit_code == 128 + signal.SIGXFSZ
    assert (workspace / "big").stat().st_size == 1 << 20


def test_a_fork_bomb_is_ended(limits: MakeLimits, workspace: Path, seconds: str) -> None:
    bomb = f"bomb() {{ [ $1 = 0 ] && return; sleep {seconds} & bomb $(($1 - 1)) | bomb $(($1 - 1)) & }}; bomb 9; sleep {seconds}"
    assert shell(limits(processes=30), workspace, bomb).ended == "processes"
    assert not processes_with(seconds)


def test_a_bomb_whose_parts_detach_is_ended(limits: MakeLimits, workspace: Path, seconds: str) -> None:
    (workspace / "part").write_text(
        f'[ "$1" = 0 ] && exec sleep {seconds}; n=$(($1 - 1)); setsid sh part $n & setsid sh part $n & exec sleep {seconds}'
    )
    result = shell(limits(processes=30), workspace, f"sh part 8; sleep {seconds}")
    assert result.ended == "processes"
    assert not processes_with(seconds)


@pytest.mark.parametrize(
    "script",
    [
        "sleep {0} &",
        "setsid sleep {0} &",
        "(setsid sh -c 'sleep {0} & sleep {0}' &) &",
        "env -i setsid sleep {0} >/dev/null 2>&1 </dev/null &",
        "nohup sleep {0} >/dev/null 2>&1 &",
    ],
)
def test_nothing_outlives_its_command(limits: MakeLimits, workspace: Path, seconds: str, script: str) -> None:
    result = shell(limits(), workspace, script.format(seconds) + "\necho done")
    assert (result.exit_code, result.output) == (0, "done\n")
    assert not processes_with(seconds)


@pytest.mark.parametrize("script", ["kill -9 0", f"{sys.executable} -c 'import os; os.killpg(0, 9)'; kill -9 $$"])
def test_killing_the_own_process_group_hurts_nobody_else(limits: MakeLimits, workspace: Path, script: str) -> None:
    async def twice(sh: Callable[[str], Awaitable[CommandResult]]) -> CommandResult:
        assert (await sh(script)).exit_code == 137
        return await sh("echo alive")

    assert run(limits(), workspace, twice).output == "alive\n"


def test_killing_the_supervisor_leaves_nothing_either(workspace: Path, seconds: str) -> None:
    script = f"setsid sleep {seconds} & sleep {seconds} & kill -9 $PPID; sleep {seconds}"
    result = shell(ToolLimits(sandbox="off"), workspace, script)
    assert result.ended == "lost"
    assert not processes_with(seconds)


def test_killing_the_supervisor_leaves_no_process_without_environment_either(workspace: Path, seconds: str) -> None:
    async def use(sh: Callable[[str], Awaitable[CommandResult]]) -> CommandResult:
        os.mkfifo(workspace / "goes_on")
        other = asyncio.ensure_future(sh("read line < goes_on; echo $line"))
        lost = await sh(f"""
env -i setsid sh -c 'sleep {seconds} & exec sleep {seconds}' &
until [ "$(tr -d '\\0' < /proc/$!/cmdline)" = sleep{seconds} ]; do :; done
kill -9 $PPID; sleep {seconds}""")
        await sh("echo unharmed > goes_on")
        assert (await other).output == "unharmed\n"
        return lost

    assert run(ToolLimits(sandbox="off"), workspace, use).ended == "lost"
    assert not processes_with(seconds)


def test_killing_the_warden_costs_one_command_at_most(workspace: Path) -> None:
    async def use(sh: Callable[[str], Awaitable[CommandResult]]) -> CommandResult:
        warden = "$(cut -d' ' -f4 /proc/$PPID/stat)"
        await sh(f"kill -9 {warden}")
        return await sh("echo alive")

    assert run(ToolLimits(sandbox="off"), workspace, use).output == "alive\n"


def test_the_same_on_uvloop(limits: MakeLimits, workspace: Path, seconds: str) -> None:
    async def main() -> list[tuple[str, int | None, str | None]]:
        commands = Commands(limits(wall_s=5), workspace.parent)
        scripts = ("echo out", f"setsid sleep {seconds} & exit 3", "yes", "kill -9 0")
        results = [await commands.run(["/bin/sh", "-c", script], workspace=workspace) for script in scripts]
        task = asyncio.ensure_future(commands.run(["/bin/sleep", seconds], workspace=workspace))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        await commands.aclose()
        return [(result.output[:4], result.exit_code, result.ended) for result in results]

    assert uvloop.run(main()) == [("out\n", 0, None), ("", 3, None), ("y\ny\n", None, "output"), ("", 137, None)]
    assert not processes_with(seconds)


def test_a_stopped_supervisor_is_killed(workspace: Path, seconds: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concur_batch.toolbox.processes.call.PATIENCE_S", 0.1)
    result = shell(ToolLimits(sandbox="off", wall_s=0.2), workspace, f"kill -STOP $PPID; sleep {seconds}")
    assert result.ended == "wall"
    assert not processes_with(seconds)


def test_a_cancelled_command_leaves_no_process(limits: MakeLimits, workspace: Path, seconds: str) -> None:
    async def use(sh: Callable[[str], Awaitable[CommandResult]]) -> CommandResult:
        os.mkfifo(workspace / "begun")
        task = asyncio.ensure_future(sh(f"setsid sleep {seconds} & echo > begun; sleep {seconds}"))
        await asyncio.to_thread((workspace / "begun").read_text)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not processes_with(seconds)
        return await sh("echo next")

    assert run(limits(), workspace, use).output == "next\n"


def test_ending_one_rollout_ends_its_commands(limits: MakeLimits, workspace: Path, seconds: str) -> None:
    async def main() -> list[str | None]:
        commands = Commands(limits(), workspace.parent)
        os.mkfifo(workspace / "begun")
        script = f"echo > begun; sleep {seconds}"
        task = asyncio.create_task(commands.run(["/bin/sh", "-c", script], workspace=workspace, owner="one"))
        other = asyncio.create_task(commands.run(["/bin/cat", "begun"], workspace=workspace, owner="two"))
        await other
        await commands.end("one")
        await commands.aclose()
        return [(await task).ended, (await other).ended]

    assert asyncio.run(main()) == ["cancelled", None]
    assert not processes_with(seconds)


def test_the_death_of_the_runner_ends_all_commands(limits: MakeLimits, workspace: Path, seconds: str) -> None:
    program = f"""
import asyncio
from pathlib import Path
from concur_batch.toolbox.limits import ToolLimits
from concur_batch.toolbox.processes.command import Commands

async def main():
    workspace = Path({str(workspace)!r})
    commands = Commands(ToolLimits(sandbox={limits().sandbox!r}), workspace.parent)
    await commands.run(["/bin/sh", "-c", "setsid sleep {seconds} & echo > begun; sleep {seconds}"], workspace=workspace)

asyncio.run(main())
"""
    os.mkfifo(workspace / "begun")
    runner = subprocess.Popen([sys.executable, "-c", program])
    (workspace / "begun").read_text()
    left = processes_with(seconds)
    runner.kill()
    runner.wait()
    _, alive = psutil.wait_procs([process for process in left if process.pid != runner.pid], timeout=20)
    assert left
    assert not alive


def test_two_hundred_commands_at_once(limits: MakeLimits, workspace: Path) -> None:
    async def main() -> list[str]:
        commands = Commands(limits(), workspace.parent)
        runs = [commands.run(["/bin/echo", str(k)], workspace=workspace) for k in range(200)]
        try:
            return [result.output for result in await asyncio.gather(*runs)]
        finally:
            await commands.aclose()

    assert asyncio.run(main()) == [f"{k}\n" for k in range(200)]


def descriptors() -> set[Path]:
    return set(Path("/proc/self/fd").iterdir())


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * len(descriptors()) + 64, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("few_descriptors")
def test_commands_wait_where_descriptors_are_few(workspace: Path) -> None:
    async def main() -> set[int | None]:
        commands = Commands(ToolLimits(sandbox="off"), workspace.parent)
        runs = [commands.run(["/bin/sleep", "0.05"], workspace=workspace) for _ in range(200)]
        try:
            return {result.exit_code for result in await asyncio.gather(*runs)}
        finally:
            await commands.aclose()

    assert asyncio.run(main()) == {0}


@pytest.mark.usefixtures("few_descriptors")
def test_what_waits_does_not_begin_where_its_rollout_has_ended(workspace: Path) -> None:
    async def main() -> list[CommandResult]:
        commands = Commands(ToolLimits(sandbox="off"), workspace.parent)
        script = "echo >> begun; until [ -e ended ]; do sleep 0.01; done"
        runs = [
            asyncio.ensure_future(commands.run(["/bin/sh", "-c", script], workspace=workspace, owner="a")) for _ in range(200)
        ]
        while not (workspace / "begun").exists():
            await asyncio.sleep(0.01)
        await commands.end("a")
        (workspace / "ended").touch()
        try:
            return await asyncio.gather(*runs)
        finally:
            await commands.aclose()

    assert {(result.exit_code, result.ended) for result in asyncio.run(main())} == {(None, "cancelled")}


def test_a_command_that_cannot_be_started_holds_no_descriptor(workspace: Path) -> None:
    async def main() -> set[Path]:
        commands = Commands(ToolLimits(sandbox="off"), workspace.parent)
        await commands.run(["/bin/true"], workspace=workspace)
        before = descriptors()
        with pytest.raises(TypeError):
            await commands.run(["/bin/true"], workspace=workspace, stdin="text")  # type: ignore[arg-type]
        left = descriptors() - before
        await commands.aclose()
        return left

    assert asyncio.run(main()) == set()
