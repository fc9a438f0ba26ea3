import asyncio

import pytest

from concur_batch.errors import ToolError
from concur_batch.sim.tokens import marker
from concur_batch.toolbox.base import OpenToolbox, Toolbox
from concur_batch.toolbox.recorded import RecordedTools
from concur_batch.virtual import run_virtual


def test_a_call_takes_its_seconds_and_gives_its_tokens():
    async def story():
        tools: Toolbox = RecordedTools()
        opened: OpenToolbox = tools.open("agent-00000#0", 0)
        clock = asyncio.get_running_loop().time
        first = await opened.call("wait", '{"seconds": 30.5, "tokens": 700}')
        seen = [(clock(), first.content)]
        second = await opened.call("wait", {"seconds": 0, "tokens": 700})
        seen.append((clock(), second.content))
        await opened.aclose()
        await tools.aclose()
        return seen

    assert run_virtual(story()) == [(30.5, marker(700, "agent-00000#0/obs0")), (30.5, marker(700, "agent-00000#0/obs1"))]


def test_calls_made_at_once_wait_side_by_side():
    async def story():
        opened = RecordedTools().open("a#0", 0)
        calls = (opened.call("wait", {"seconds": seconds, "tokens": 1}) for seconds in (3.0, 1.0))
        outputs = await asyncio.gather(*calls)
        return asyncio.get_running_loop().time(), len({output.content for output in outputs})

    assert run_virtual(story()) == (3.0, 2)


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("sleep", {}, "no tool `sleep`"),
        ("wait", "{", "JSON object"),
        ("wait", "[1]", "JSON object"),
        ("wait", {"tokens": 1}, "`seconds` is None"),
        ("wait", {"seconds": -1, "tokens": 1}, "`seconds` is -1"),
        ("wait", {"seconds": True, "tokens": 1}, "`seconds` is True"),
        ("wait", {"seconds": float("nan"), "tokens": 1}, "`seconds` is nan"),
        ("wait", {"seconds": 10**400, "tokens": 1}, "`seconds` is 1000"),
        ("wait", {"seconds": 1}, "`tokens` is None"),
        ("wait", {"seconds": 1, "tokens": 0}, "`tokens` is 0"),
        ("wait", {"seconds": 1, "tokens": 1.5}, "`tokens` is 1.5"),
    ],
)
def test_bad_arguments_are_told_without_waiting(name, arguments, text):
    async def story():
        output = await RecordedTools().open("a#0", 0).call(name, arguments)
        return output, asyncio.get_running_loop().time()

    output, time = run_virtual(story())
    assert text in output.content
    assert (output.ok, output.error_class, time) == (False, "input", 0.0)


def test_what_is_offered():
    tools = RecordedTools()
    assert tools.offered == ("wait",)
    assert [spec.name for spec in tools.specs] == ["wait"]
    assert tools.specs[0].repeatable


def test_there_is_no_workspace():
    with pytest.raises(ToolError, match="no workspace"):
        _ = RecordedTools().open("a#0", 0).workspace
