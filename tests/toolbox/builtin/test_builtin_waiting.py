"""`wait`, through the toolbox as agents call it."""

import asyncio

import pytest

from concur_batch.toolbox.load import load_tools
from concur_batch.virtual import run_virtual


def called(tmp_path, seconds):
    async def story():
        tools = load_tools([], workspaces=tmp_path)
        output = await tools.open("t#0", 0).call("wait", {"seconds": seconds})
        return output, asyncio.get_running_loop().time()

    return run_virtual(story())


@pytest.mark.parametrize("seconds", [0, 0.25, 90_000])
def test_waits_as_long_as_it_is_told_without_a_time_limit(tmp_path, seconds):
    output, waited = called(tmp_path, seconds)
    assert output.ok
    assert waited == pytest.approx(seconds)


@pytest.mark.parametrize("seconds", [-1, 1e10])
def test_refuses_what_no_timer_holds(tmp_path, seconds):
    output, waited = called(tmp_path, seconds)
    assert (output.ok, output.error_class, waited) == (False, "tool", 0.0)
    assert "it should be a number from 0 to" in output.content
