import re
from pathlib import Path

import pytest

from concur_batch import records as r
from concur_batch.dashboard.limits import bound, holding, moved
from concur_batch.dashboard.reasons import WORDS, words
from concur_batch.state import Move, fold


def engine_under(policy, decided, active=10, waiting=5, committed=40_000, begun=None, more=()):
    begun = active if begun is None else begun
    agents = [r.RolloutStarted(t=0, rollout=f"a{k}#0", engine="e", task=f"a{k}", k=0, index=k, seed=0) for k in range(begun)]
    stream = [
        r.SegmentStarted(t=0, epoch=1e9, host="h", pid=1, version="0"),
        r.BatchLoaded(t=0, tasks=active + waiting, rollouts=active + waiting, max_agents=1024),
        r.EngineSeen(t=0, engine="e", engine_kind="sglang", policy=policy, capacity_tokens=100_000),
        *agents,
        r.Sampled(t=1, engine="e", active=active, waiting=waiting, committed_tokens=committed),
        r.Decided(t=1, engine="e", **decided),
        *more,
    ]
    state = fold(stream)
    return state.engines["e"], state


@pytest.mark.parametrize(
    ("policy", "decided", "told", "place", "held"),
    [
        ("forecast", {"agents": 1024, "tokens": 90_000}, "90.0k tokens", 90_000, "5 wait: rest is for growth"),
        ("forecast", {"agents": 1024, "tokens": 41_000}, "41.0k tokens", 41_000, "5 wait: the limit is reached"),
        ("forecast", {"agents": 16, "reason": "first"}, "16 agents", 64_000, "5 wait"),
        ("forecast", {"agents": 1024, "reason": "step-aside"}, "none but at most 1,024 agents", None, "5 wait"),
        ("aimd", {"agents": 10}, "10 agents", 40_000, "5 wait: the limit is reached"),
        ("aimd", {"agents": 1024}, "1,024 agents", 4_096_000, "5 wait"),
        ("requests:4", {"agents": 1024, "requests": 4}, "4 calls", None, "6 calls wait: the limit is reached"),
        ("off", {"agents": 1024, "reason": "off"}, "none but at most 1,024 agents", None, "5 wait"),
        ("off", {"reason": "off"}, "none but at most 1,024 agents", None, "5 wait"),
    ],
)
def test_the_limit_that_matters_leads(policy, decided, told, place, held):
    engine, state = engine_under(policy, decided)
    found = bound(engine, state)
    assert (found.words, found.tokens) == (told, place)
    assert holding(engine, state, found) == held


def test_who_holds_agents_back():
    for more, said in (
        ([r.Steered(t=2, held=True)], "nobody starts: held by hand"),
        ([r.DrainStarted(t=2, cause="SIGINT")], "nobody starts: draining"),
        ([r.SegmentFinished(t=2, cause="finished")], ""),
    ):
        engine, state = engine_under("aimd", {"agents": 10}, more=more)
        assert holding(engine, state, bound(engine, state)) == said
    engine, state = engine_under("off", {"agents": 1024}, active=1024)
    assert holding(engine, state, bound(engine, state)) == "5 wait: --max-agents is reached"
    engine, state = engine_under("off", {"agents": 1024}, waiting=0)
    assert holding(engine, state, bound(engine, state)) == "holds nobody back"


@pytest.mark.parametrize(
    ("policy", "decided", "committed", "held"),
    [
        ("forecast", {"agents": 4, "tokens": 90_000}, 20_000, "5 wait: --max-agents is reached"),  # and not growth
        ("forecast", {"agents": 4, "tokens": 90_000}, 89_000, "5 wait: the limit is reached"),
        ("aimd", {"agents": 4}, 20_000, "5 wait: --max-agents is reached"),  # its ceiling
        ("fixed:3", {"agents": 3}, 20_000, "5 wait: the limit is reached"),
    ],
)
def test_most_agents_that_a_run_may_have(policy, decided, committed, held):
    started = [r.RolloutStarted(t=1, rollout=f"{k}#0", engine="e", task=str(k), k=0, index=k, seed=0) for k in range(4)]
    more = [
        r.BatchLoaded(t=1, tasks=9, rollouts=9, max_agents=4),
        *started,
        r.RolloutYielded(t=2, rollout="0#0", engine="e", step=1),
    ]
    active = min(decided["agents"], 4)
    engine, state = engine_under(policy, decided, active=active, committed=committed, begun=0, more=more)
    assert holding(engine, state, bound(engine, state)) == held


def test_of_several_engines_none_counts_whoever_never_started():
    def started(k):
        return r.RolloutStarted(t=1, rollout=f"{k}#0", engine="e", task=str(k), k=0, index=k, seed=0)

    def paused(k):
        return r.RolloutPaused(t=2, rollout=f"{k}#0", engine="e", step=1, reason="limit")

    def said(*more, waiting=95):
        engine, state = engine_under(
            "aimd",
            {"agents": 10},
            waiting=waiting,
            begun=0,
            more=[r.BatchLoaded(t=0, tasks=99, rollouts=99), r.EngineSeen(t=0, engine="f", engine_kind="x"), *more],
        )
        return holding(engine, state, bound(engine, state))

    assert said() == "new ones wait: the limit is reached"
    assert said(*map(started, range(4)), *map(paused, range(3))) == "3 and new ones wait: the limit is reached"
    assert said(*map(started, range(99)), *map(paused, range(3)), waiting=3) == "3 wait: the limit is reached"
    assert said(waiting=0) == "holds nobody back"


def test_of_one_engine_all_lines_count_at_the_same_moment():
    more = [r.RolloutFinished(t=1.5, rollout="a0#0", engine="e", status="completed", output="")]
    engine, state = engine_under("aimd", {"agents": 10}, more=more)  # the sample of t=1 still tells ten
    assert bound(engine, state).used == state.active == 9
    assert holding(engine, state, bound(engine, state)) == "5 wait"
    engine, state = engine_under("aimd", {"agents": 10}, more=[r.SegmentFinished(t=2, cause="finished")])
    assert (bound(engine, state).words, bound(engine, state).used) == ("10 agents", None)


def test_calls_over_the_limit_wait():
    agents = [r.RolloutStarted(t=1, rollout=f"{k}", engine="e", task="t", k=0, index=0, seed=0) for k in range(6)]
    engine, state = engine_under("requests:4", {"agents": 1024, "requests": 4}, begun=0, more=agents)
    found = bound(engine, state)
    assert (found.used, holding(engine, state, found)) == (4, "2 calls wait: the limit is reached")


def test_a_persons_factor_is_on_every_limit():
    for policy, decided, told in (
        ("forecast", {"agents": 1024, "tokens": 90_000}, "72.0k tokens"),
        ("aimd", {"agents": 10}, "8 agents"),
        ("requests:4", {"agents": 1024, "requests": 1}, "1 call"),
        ("off", {"agents": 1024, "reason": "off"}, "12 agents"),  # of 15 rollouts
    ):
        engine, state = engine_under(policy, decided, more=[r.Steered(t=2, factor=0.8)])
        assert bound(engine, state).words == told
    for policy, decided, told in (
        ("aimd", {"agents": 1000}, "1,024 agents"),
        ("fixed:16", {"agents": 16}, "17 agents"),  # and not from the 15 rollouts
        ("off", {"agents": 1024, "reason": "off"}, "none but at most 1,024 agents"),
    ):
        engine, state = engine_under(policy, decided, more=[r.Steered(t=2, factor=1.1)])
        assert bound(engine, state).words == told


def test_when_it_moved():
    engine, _ = engine_under("aimd", {"agents": 10, "reason": "cut"})
    assert moved(engine, 31.0) == "cut: - locked, - hit, 30 s ago"


@pytest.mark.parametrize(
    ("policy", "before", "after", "said"),
    [
        ("forecast", {"tokens": 90}, {"tokens": 80, "reason": "cut"}, "cut: 11% missed"),
        ("forecast", {"tokens": 90}, {"tokens": 80, "reason": "hold"}, "less: KV of ended agents"),
        ("forecast", {"tokens": 90}, {"tokens": 80, "reason": "reserve"}, "less: KV of ended agents"),
        ("forecast", {"tokens": 80}, {"tokens": 90, "reason": "reserve"}, "more: their KV is gone"),
        ("forecast", {"tokens": 80}, {"tokens": 90, "reason": "no-evidence"}, "more: their KV is gone"),
        ("forecast", {"agents": 16}, {"tokens": 90, "reason": "pool"}, "as much as will fit"),
        ("forecast", {"tokens": 80}, {"tokens": 90, "reason": "pool"}, "as much as will fit"),
        ("forecast", {"agents": 16}, {"tokens": 90, "reason": "hold"}, "as much as will fit"),
        ("forecast", {"tokens": 90}, {"agents": 99, "reason": "step-aside"}, "step-aside: no gain"),
        ("aimd", {"agents": 8}, {"agents": 4, "reason": "cut"}, "cut: 60% locked, - hit"),
        ("aimd", None, {"agents": 4, "reason": "hold"}, "start"),
        ("aimd", {"agents": 8}, {"agents": 64, "reason": "no cache evidence: fixed:64"}, "no cache evidence: fixed:64"),
    ],
)
def test_reasons_in_words(policy, before, after, said):
    earlier = before and r.Decided(t=1, engine="e", **before)
    move = Move(before=earlier, after=r.Decided(t=2, engine="e", **after), locked=0.6, miss=0.11)
    assert words(policy, move) == said


def test_what_is_used_is_at_least_what_the_engine_says_is_locked():
    early = r.Sampled(t=2, engine="e", active=10, waiting=5, committed_tokens=0, locked=0.16)
    engine, state = engine_under("forecast", {"agents": 1024, "tokens": 90_000}, more=[early])
    assert bound(engine, state).used == 16_000
    early.committed_tokens = 20_000
    assert bound(engine, state).used == 20_000
    early.locked = 1.0  # by others, too: that is not what the gate counts
    assert holding(engine, state, bound(engine, state)) == "5 wait: rest is for growth"


def test_every_reason_of_the_controllers_is_on_the_page():
    page = (Path(__file__).parents[2] / "docs" / "reading-the-dashboard.md").read_text()
    for said in WORDS.values():
        assert re.sub(r"\{\w+\}.*", "", said) in page
