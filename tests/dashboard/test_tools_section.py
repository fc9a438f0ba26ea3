from concur_batch import records as r
from concur_batch.dashboard import decisions, tools
from concur_batch.dashboard.scene import Scene
from concur_batch.state import fold

OPENED = r.SegmentStarted(t=0, epoch=1e9, host="h", pid=1, version="0")


def called(tool, seconds, ok=True):
    return r.ToolFinished(t=1, rollout="x", step=1, n=1, tool=tool, output="", seconds=seconds, ok=ok)


def drawn(make, stream, width=80, height=20):
    return [line.plain.split() for line in make(Scene(state=fold(stream), now=10.0), 1).draw(width, height)]


def test_the_tool_that_took_most_stands_first_and_one_that_runs_for_the_first_time_is_there():
    running = [
        r.RolloutStarted(t=0, rollout="a", engine="e", task="a", k=0, index=0, seed=0),
        r.ToolStarted(t=1, rollout="a", step=1, n=1, tool="new", hash=""),
        r.ToolStarted(t=1, rollout="a", step=1, n=2, tool="shell", hash=""),
    ]
    rows = drawn(
        tools.section, [OPENED, *running, *[called("read", 0.5)] * 3, called("shell", 90.0, ok=False), called("shell", 2.0)]
    )
    assert rows == [
        ["tools", "by", "time", "taken", "calls", "mean", "max", "now", "failed"],
        ["shell", "2", "46", "s", "1:30", "1", "1"],
        ["new", "0", "-", "9.0", "s", "1", "0"],
        ["read", "3", "500", "ms", "500", "ms", "0", "0"],
    ]


def test_where_it_is_narrow_columns_are_left_out():
    assert drawn(tools.section, [OPENED, called("shell", 1.0)], width=36) == [
        ["tools", "calls", "mean"],
        ["shell", "1", "1.0", "s"],
    ]
    assert drawn(tools.section, [OPENED], height=1) == [["tools", "none", "called", "yet"]]


def test_decisions_name_their_engine_where_there_are_several():
    moves = [r.Decided(t=t, engine=f"http://10.0.0.{k}:30000", agents=8 * t, reason="grow") for t, k in ((1, 1), (2, 2), (9, 1))]
    assert drawn(decisions.section, [OPENED, *moves], width=100) == [
        ["control", "1", "s", "10.0.0.1…", "8", "→", "72", "grow"],
        ["8", "s", "10.0.0.2…", "16", "agents", "grow"],
        ["9", "s", "10.0.0.1…", "8", "agents", "grow"],
    ]


def test_a_slow_tool_stands_first_before_any_of_its_calls_has_come_back():
    agents = [
        x
        for k in range(6)
        for x in (
            r.RolloutStarted(t=0, rollout=f"{k}", engine="e", task="a", k=0, index=0, seed=0),
            r.ToolStarted(t=k / 2, rollout=f"{k}", step=1, n=1, tool="slow", hash=""),
        )
    ]
    assert drawn(tools.section, [OPENED, *agents, called("read", 30.0)], height=2)[1] == ["slow", "0", "-", "10", "s", "6", "0"]
    ended = r.SegmentFinished(t=9, cause="stopped")
    assert drawn(tools.section, [OPENED, *agents, called("read", 30.0), ended])[1:] == [
        ["read", "1", "30", "s", "30", "s", "0", "0"]
    ]
