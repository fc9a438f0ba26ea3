"""Calls of tools, as an agent makes them."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial, wraps
from pathlib import Path
from typing import Any

import pytest

from concur_batch.toolbox import ToolContext, ToolError, tool
from concur_batch.toolbox import cancellable as cancellable_module
from concur_batch.toolbox import tools as tools_module
from concur_batch.toolbox.base import OpenToolbox, Toolbox, ToolOutput
from concur_batch.toolbox.limits import ToolLimits
from concur_batch.toolbox.signature import read_tool
from concur_batch.toolbox.threads import DaemonThreads
from concur_batch.toolbox.tools import OpenTools, Tools


def use(
    functions: list[Callable[..., Any]],
    story: Callable[[OpenTools], Awaitable[Any]],
    path: Path = Path("/nonexistent"),
    threads: int = 32,
) -> Any:
    """What a story with these tools returns."""

    async def main() -> Any:
        read = [read_tool(function) for function in functions]
        limits = ToolLimits(sandbox="off", max_output_chars=200, threads=threads)
        tools = Tools(read, offered=[], workspaces=path, limits=limits)
        kept: Toolbox = tools
        opened = tools.open("task#0", 7)
        kept_open: OpenToolbox = opened
        try:
            return await story(opened)
        finally:
            await kept_open.aclose()
            await kept.aclose()

    return asyncio.run(main())


def call(function: Callable[..., Any], arguments: str | dict[str, Any] = "{}", path: Path = Path("/nonexistent")) -> ToolOutput:
    output = use([function], lambda tools: tools.call(function.__name__, arguments), path)
    assert isinstance(output, ToolOutput)
    return replace(output, wait_s=0.0)  # for a thread some fractions of a millisecond


def returning(value: Any) -> Callable[..., Any]:
    @tool
    async def give() -> Any:
        return value

    return give


def raising(error: BaseException, *, sync: bool = False) -> Callable[..., Any]:
    @tool
    async def fail() -> str:
        raise error

    @tool(name="fail")
    def fail_sync() -> str:
        raise error

    fail_sync.__name__ = "fail"
    return fail_sync if sync else fail


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("text", "text"),
        ("", ""),
        (None, "null"),
        ({"a": [1, 2.5, True]}, '{"a":[1,2.5,true]}'),
        ((Path("/x"), math.inf), '["/x","Infinity"]'),
        ("half \ud800", "half ?"),
    ],
)
def test_results_are_text_or_json(value: Any, content: str) -> None:
    assert call(returning(value)) == ToolOutput(content=content)


def test_an_async_function_under_a_plain_decorator_is_awaited() -> None:
    def plain(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def inner(**given: Any) -> Any:
            return function(**given)

        return inner

    @tool
    @plain
    async def look(city: str) -> str:
        await asyncio.sleep(0)
        return f"{city}, {threading.current_thread() is threading.main_thread()}"

    @tool(timeout_s=0.05)
    @plain
    async def hang() -> None:
        await asyncio.Event().wait()

    assert call(look, '{"city": "Bern"}') == ToolOutput(content="Bern, True")
    assert call(hang).content == "The tool `hang` did not end within 0.05 s and was given up."


def test_a_result_that_is_neither_is_told() -> None:
    output = call(returning(object()))
    assert (output.ok, output.error_class) == (False, "tool")
    assert output.content.startswith("The tool returned something that is neither text nor JSON")


@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize(
    ("error", "content"),
    [
        (ValueError("no such city"), "ValueError: no such city"),
        (KeyError(), "KeyError"),
        (ToolError("try another"), "try another"),
        (TimeoutError("server"), "TimeoutError: server"),
    ],
)
def test_what_a_tool_raises_is_told_without_a_traceback(error: Exception, content: str, sync: bool) -> None:
    assert call(raising(error, sync=sync)) == ToolOutput(content=content, ok=False, error_class="tool")


class Panic(BaseException):
    """As what some compiled extensions raise."""


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "error",
    [SystemExit(3), asyncio.CancelledError(), StopIteration(), Panic("index out of bounds"), Unspeakable(), KeyboardInterrupt()],
)
@pytest.mark.parametrize("sync", [False, True])
def test_a_tool_ends_nothing_but_its_call(error: BaseException, sync: bool) -> None:
    output = call(raising(error, sync=sync))
    assert (output.ok, output.error_class) == (False, "tool")


def test_an_unknown_tool_is_told_the_known_ones() -> None:
    output = use([returning(1)], lambda tools: tools.call("giive", "{}"))
    assert output == ToolOutput(content="There is no tool `giive`. The tools are: give.", ok=False, error_class="input")


def test_arguments_are_checked_and_repaired() -> None:
    @tool
    async def double(x: int) -> int:
        return 2 * x

    assert call(double, '{"x": 4}') == ToolOutput(content="8")
    assert call(double, {"x": "4"}) == ToolOutput(content="8")
    assert call(double, "{x: 4}") == ToolOutput(content="8", repaired=True)
    bad = call(double, '{"x": "four"}')
    assert (bad.ok, bad.error_class) == (False, "input")
    assert "x: Input should be a valid integer" in bad.content
    assert '"properties"' in bad.content


@pytest.mark.parametrize("sync", [False, True])
def test_a_hanging_tool_is_given_up(sync: bool) -> None:
    release = threading.Event()

    @tool(timeout_s=0.02)
    async def hang() -> None:
        await asyncio.Event().wait()

    @tool(timeout_s=0.02, name="hang")
    def hang_sync() -> None:
        release.wait()

    hang_sync.__name__ = "hang"
    output = call(hang_sync if sync else hang)
    release.set()
    assert output.content == "The tool `hang` did not end within 0.02 s and was given up."
    assert (output.ok, output.error_class) == (False, "tool")


def test_no_timeout_at_all() -> None:
    @tool(timeout_s=math.inf)
    async def steady() -> str:
        await asyncio.sleep(0)
        return "done"

    assert call(steady).content == "done"


def test_too_long_a_result_loses_its_middle() -> None:
    output = call(returning("a" * 500 + "b" * 500))
    assert output.truncated
    assert output.content == "a" * 65 + "\n[... 870 of 1,000 characters left out here ...]\n" + "b" * 65

    @tool(max_output_chars=2000)
    async def long() -> str:
        return "x" * 1500

    assert call(long) == ToolOutput(content="x" * 1500)


def test_the_context_is_given_and_not_offered(tmp_path: Path) -> None:
    @tool
    def about(name: str, here: ToolContext) -> list[Any]:
        (here.workspace / name).touch()
        return [here.rollout, here.seed, here.random.random(), threading.current_thread() is threading.main_thread()]

    output = call(about, '{"name": "file"}', tmp_path)
    assert output.content == '["task#0",7,0.32383276483316237,false]'
    assert len(list(tmp_path.glob("task_0-*/file"))) == 1
    assert call(about, '{"name": "file", "here": {}}', tmp_path).error_class == "input"


def test_a_tool_may_run_commands(tmp_path: Path) -> None:
    @tool
    async def count(here: ToolContext) -> str:
        result = await here.run(["/usr/bin/env", "wc", "-c"], stdin=b"12345")
        return f"{result.exit_code} {result.output.strip()}"

    assert call(count, "{}", tmp_path / "run" / "workspaces").content == "0 5"


def test_calls_over_the_rate_wait_for_each_other() -> None:
    order = []

    @tool(rate=(10, 0.01))
    async def limited(x: int) -> None:
        order.append(x)

    async def story(tools: OpenTools) -> None:
        await asyncio.gather(*(tools.call("limited", {"x": x}) for x in range(60)))

    use([limited], story)
    assert order == list(range(60))


def test_the_wait_for_a_thread_is_told_and_counts_against_no_time_limit() -> None:
    release = threading.Event()

    @tool(timeout_s=math.inf)
    def first() -> str:
        release.wait()
        return "first"

    @tool(timeout_s=0.5)
    def second() -> str:
        return "second"

    async def story(tools: OpenTools) -> list[ToolOutput]:
        asyncio.get_running_loop().call_later(0.8, release.set)
        return await asyncio.gather(tools.call("first", "{}"), tools.call("second", "{}"))

    begun, waited = use([first, second], story, threads=1)
    assert (begun.content, waited.content) == ("first", "second")
    assert waited.wait_s > max(begun.wait_s, 0.5)  # longer than it may take itself


def test_what_ended_while_the_event_loop_was_held_up_past_the_limit_is_kept() -> None:
    begun = threading.Event()

    @tool(timeout_s=0.05)
    def look() -> str:
        begun.set()
        return "seen"

    @tool(timeout_s=0.05)
    def fail() -> str:
        begun.set()
        raise TimeoutError("of its own")

    async def story(tools: OpenTools) -> list[str]:
        contents = []
        for name in ("look", "fail"):
            begun.clear()
            called = asyncio.ensure_future(tools.call(name, "{}"))
            await asyncio.sleep(0)
            begun.wait()
            threading.Event().wait(0.1)  # the event loop hears of the end and of the limit at once
            contents.append((await called).content)
        return contents

    assert use([look, fail], story) == ["seen", "TimeoutError: of its own"]


def test_a_call_that_no_thread_is_left_for_is_told_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools_module, "DaemonThreads", partial(DaemonThreads, max_lost=1))
    release = threading.Event()

    @tool(timeout_s=0.05)
    def hang() -> str:
        release.wait()
        return "late"

    async def story(tools: OpenTools) -> list[ToolOutput]:
        try:
            async with asyncio.timeout(20):
                return await asyncio.gather(*(tools.call("hang", "{}") for _ in range(4)))
        finally:
            release.set()

    outputs = use([hang], story, threads=1)
    assert [output.content.partition(";")[0] for output in outputs] == [
        *["The tool `hang` did not end within 0.05 s and was given up."] * 2,
        *["all 2 threads of plain tools hang in calls that did not end"] * 2,
    ]
    assert all((output.ok, output.error_class) == (False, "tool") for output in outputs)


def test_the_wait_for_the_rate_is_told() -> None:
    @tool(rate="1/0.1s")
    async def paced() -> str:
        return ""

    async def story(tools: OpenTools) -> list[float]:
        outputs = await asyncio.gather(*(tools.call("paced", "{}") for _ in range(3)))
        return [output.wait_s for output in outputs]

    waited = use([paced], story)
    assert waited == sorted(waited)
    assert waited[2] > 0.1


def test_a_cancelled_call_raises() -> None:
    begun = asyncio.Event()

    @tool
    async def hang() -> None:
        begun.set()
        await asyncio.Event().wait()

    async def story(tools: OpenTools) -> bool:
        task = asyncio.create_task(tools.call("hang", "{}"))
        await begun.wait()
        task.cancel()
        await asyncio.wait({task})
        return task.cancelled()

    assert use([hang], story)


def test_sandbox_and_warnings_are_told() -> None:
    tools = Tools([], offered=[], workspaces=Path("/nonexistent/w"), limits=ToolLimits(sandbox="off"))
    assert tools.sandbox == "unsafe"
    assert tools.warnings[0].startswith("UNSAFE: ")


@pytest.mark.parametrize("stopped", [False, True])
def test_a_tool_that_will_not_be_cancelled_is_left_where_it_stands(monkeypatch: pytest.MonkeyPatch, *, stopped: bool) -> None:
    monkeypatch.setattr(cancellable_module, "_LEAVE_S", 0.05)
    swallowed: list[int] = []

    @tool(timeout_s=60 if stopped else 0.05)
    async def stubborn() -> str:
        while True:
            try:
                await asyncio.sleep(1000)
            except:  # noqa: E722 - as people write it
                swallowed.append(1)

    async def story(tools: OpenTools) -> ToolOutput | None:
        calling = asyncio.ensure_future(tools.call("stubborn", "{}"))
        if not stopped:
            return await calling
        await asyncio.sleep(0.05)
        calling.cancel()
        await asyncio.wait((calling,), timeout=20)
        assert calling.cancelled()
        return None

    output = use([stubborn], story)  # the event loop ends, too
    assert swallowed == [1]
    if output is not None:
        assert (output.ok, output.content) == (False, "The tool `stubborn` did not end within 0.05 s and was given up.")


def test_a_tool_may_clean_up_when_its_time_is_over() -> None:
    cleaned: list[int] = []

    @tool(timeout_s=0.05)
    async def careful() -> str:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(0.02)
            cleaned.append(1)
        return ""

    assert not call(careful).ok
    assert cleaned == [1]
