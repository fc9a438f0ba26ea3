"""The default policy as a whole: samples and rosters in, limits and decisions out."""

import dataclasses
import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import FILL, POOL, agent, in_tool, law, lived, roster, sample, sampled

from concur_batch.control.base import UNLIMITED, AgentView, Limit, Sample
from concur_batch.control.policies import make_policy
from concur_batch.errors import InputError

# Who starts --------------------------------------------------------------------------------------------------------------


def test_a_new_agent_starts_where_the_foreseen_peak_fits():
    it = lived(law())
    active = [agent(n, context=1000, steps=1) for n in range(12)]
    peaks = [tokens for tokens in range(2000, POOL, 500) if it.may_start(agent(99, steps=0), roster(tokens, active))]
    assert 13 * 1000 < peaks[0] < 13 * 5000
    assert peaks == list(range(peaks[0], POOL, 500))


def test_a_limit_on_agents_holds_too():
    assert not law().may_start(agent(9), roster(active=[agent(0)], agents=1))


def test_one_that_returns_does_not_wait_for_those_who_are_away():
    it = lived(law(), tool_s=30.0)
    sampled(it)
    lived(it, tool_s=30.0)
    active, away = [agent(n) for n in range(3)], [in_tool(n, context=30_000) for n in range(10, 30)]
    assert it.may_start(agent(50), roster(active=active, away=away))
    assert not it.may_start(agent(50, steps=0), roster(active=active, away=away))


# Who pauses and returns --------------------------------------------------------------------------------------------------


def pausing(it, active):
    """Who pauses, of these alone."""
    return [a.order for a in active if not it.may_continue(a, roster(active=active))]


def test_over_the_limit_the_newest_pause():
    it = lived(law())
    assert pausing(it, [agent(n, context=10_000) for n in range(12)]) == [9, 10, 11]


def test_a_little_over_the_limit_nobody_pauses():
    it = lived(law())
    active = [agent(n, context=9_800) for n in range(10)]
    assert all(it.may_continue(a, roster(active=active)) for a in active)


def test_what_comes_and_goes_as_conversations_are_left_and_come_back_to_pauses_nobody():
    """Eleven agents of 10,000 tokens are over the limit, but by less than what such agents swing by."""
    active = [agent(n, context=10_000) for n in range(11)]
    it = lived(law())
    assert pausing(it, active) == [9, 10]
    one = agent(99, steps=2, step_tokens=400)
    for n in range(400):
        one.growth_tokens = 400 + (6_000 if n % 2 else -6_000)
        it.replied(one)
    assert pausing(it, active) == []


def test_growth_that_is_to_come_before_the_next_boundary_counts():
    """Ten agents of 10,000 tokens: with a step of 200 each they are within 1.03 times the limit, with one of 400 they are not."""
    active = [agent(n, context=10_000) for n in range(10)]
    assert pausing(lived(law(), steps=30, growth=200), active) == []
    assert pausing(lived(law(), steps=30, growth=400), active) == [9]


def test_nobody_pauses_for_growth_where_as_many_are_about_to_end():
    it = lived(law(), steps=10)
    active = [agent(n, context=10_000, steps=10 if n % 2 else 3) for n in range(10)]
    assert all(it.may_continue(a, roster(active=active)) for a in active)


def test_tools_that_take_no_time_are_no_division_by_it():
    it = lived(law(harmless=1.0), tool_s=0.0)
    assert sampled(it).reason == "hold"


# Long tool calls ---------------------------------------------------------------------------------------------------------


def yielding(it, there):
    return [a.order for a in it.yielding(there)]


def test_agents_in_tool_calls_yield_beyond_break_even():
    it = lived(law())
    sampled(it)
    active = [in_tool(n, since=float(n)) for n in range(0, 40, 10)] + [agent(99, calls=1)]
    assert yielding(it, roster(active=active, now=35.0)) == [0, 10, 20]


def test_nobody_is_impatient_while_the_prefill_rate_is_unknown():
    it = lived(law())
    sampled(it, prefill_tokens=None, prefill_busy_seconds=None)
    assert yielding(it, roster(active=[in_tool(0)], now=1e6)) == []


def test_where_most_calls_are_long_it_steps_aside_until_they_are_not():
    it = lived(law(), tool_s=30.0)
    limit = sampled(it)
    assert (limit.tokens, limit.reason) == (UNLIMITED, "step-aside")
    active = [in_tool(n, context=POOL) for n in range(5)]
    there = roster(limit.tokens, active, now=100.0)
    assert yielding(it, there) == []
    assert all(it.may_continue(a, there) for a in active)
    assert it.may_start(agent(9, steps=0), there)
    assert sampled(lived(it, count=60), 10, 20).tokens < UNLIMITED


def test_calls_that_never_come_back_count_as_long():
    it = law()
    sampled(it)
    there = roster(active=[in_tool(n) for n in range(20)], now=31.0)
    list(it.yielding(there))
    list(it.yielding(there))
    assert sampled(it, 10, 20).reason == "step-aside"


def test_an_endless_call_that_comes_back_counts_once():
    it = lived(law(), count=2, steps=5)  # eight short calls
    sampled(it)
    late = [in_tool(n) for n in range(7)]
    list(it.yielding(roster(active=late, now=31.0)))
    for one in late:
        it.tool_ended(one, 40.0)
    assert sampled(it, 10, 20).reason != "step-aside"  # 7 of 15; twice they would be 14 of 22


def begun_together(*, replayed=False, **parameters):
    """The last limit of a minute with 20 replies a second, all from a journal if `replayed`, by an engine whose prefills take 20 ms and 30 µs for each token."""
    it, rng = lived(law(**parameters), count=0 if replayed else 20), random.Random(0)
    for time in range(1, 60):
        for n in range(20):
            it.replied(agent(n, 2000, 3, growth_tokens=300), replayed=replayed)
        tokens = [rng.randrange(20, 2000) for _ in range(rng.randrange(10, 30))]
        busy = {
            "prefill_tokens": sum(tokens),
            "prefill_busy_seconds": sum(0.02 + 3e-5 * new for new in tokens),
            "begun": len(tokens),
        }
        limit = it.update(sample(float(time), **busy, running_requests=16, active=24, missed_tokens=0))
    return limit


def test_calls_begin_together_where_prefills_are_dear():
    limit = begun_together()
    assert 3 <= limit.together <= 4
    assert 0.15 < limit.hold_s < 0.4
    assert limit.tokens < POOL  # it limits contexts as ever


def test_calls_begin_alone_where_that_is_asked_for():
    assert begun_together(together=False)[-2:] == (1, 0.0)


def test_what_a_resumed_run_takes_from_its_journal_is_no_reply_of_the_engines_and_shows_what_agents_are_like():
    again = begun_together(replayed=True)
    assert (again.together, again.hold_s) == (1, 0.0)
    one, other = law(), law()
    for n in range(20):
        for step in (1, 2):
            one.replied(agent(n, 1000 * step, step, growth_tokens=1000), replayed=True)
            other.replied(agent(n, 1000 * step, step, growth_tokens=1000))
    crowd = roster(active=[agent(n, 2000, 2) for n in range(3)])
    fits = [[it.may_start(agent(99, size), crowd) for size in range(0, 60_000, 1000)] for it in (one, other, law())]
    assert fits[0] == fits[1] != fits[2]


# Whatever comes ----------------------------------------------------------------------------------------------------------

tokens = st.one_of(st.none(), st.integers(0, 10**7))
samples = st.builds(
    dict,
    capacity_tokens=st.one_of(st.none(), st.integers(1, 10**7)),
    locked=st.none() | st.floats(0, 1),
    prefill_tokens=tokens,
    prefill_busy_seconds=st.none() | st.floats(0, 10),
    begun=st.integers(0, 500),
    running_requests=st.none() | st.integers(0, 500),
    evicted_tokens=tokens,
    prompt_tokens=st.integers(0, 10**6),
    cached_tokens=tokens,
    history_tokens=st.integers(0, 10**6),
    missed_tokens=tokens,
    frees_ended=st.booleans(),
    host_tokens=st.integers(0, 10**7),
)
views = st.builds(
    dict,
    steps=st.integers(0, 60),
    context=st.integers(0, 10**6),
    calls=st.integers(0, 2),
    tool_started=st.none() | st.floats(0, 100),
    group=st.sampled_from("abc"),
    growth_tokens=st.integers(-(10**4), 10**5),
    most_steps=st.none() | st.integers(1, 60),
)
events = st.sampled_from(["replied", "tool", "ended"])
steps = st.lists(st.tuples(samples, st.lists(st.tuples(views, st.integers(0, 2), events), max_size=12)), min_size=1, max_size=6)


def told(it, path):
    """All answers to these samples and rosters, with events in between."""
    answers, order, now = [], itertools.count(), 0.0
    for given_, crowd in path:
        now += 1.0
        limit = it.update(Sample(engine="e", time=now, **given_))
        agents = [(agent(next(order), **view), place, event) for view, place, event in crowd]
        active, paused, away = ([a for a, where, _ in agents if where == place] for place in range(3))
        there = roster(limit.tokens, active, paused, away, now, limit.agents)
        answers += [limit, [a.order for a in it.yielding(there)]]
        for one, place, event in agents:
            answers.append(it.may_start(one, there) if place else it.may_continue(one, there))
            if event == "replied" and one.steps:
                it.replied(one)
            elif event == "tool":
                it.tool_ended(one, now * 7)
            elif event == "ended":
                it.ended(one, there)
        there.new = agent(998, steps=0)
        back = it.next_returning(there)
        answers.append(back and back.order)
        assert back is not None or not paused or it.may_start(there.new, there)
        alone = roster(limit.tokens, active[:1], paused, away, now, max(1, limit.agents))
        assert all(it.may_continue(a, alone) for a in active[:1])
        assert it.may_start(agent(999), roster(limit.tokens, (), paused, away, now, max(1, limit.agents)))
        assert not active or any(it.may_continue(a, there) for a in active)
        assert limit.tokens >= 1
        assert limit.agents >= 1
        assert limit.reason
    return answers


@given(steps)
def test_same_calls_same_answers_and_there_is_always_somebody_who_may(path):
    assert told(law(), path) == told(law(), path)


def test_by_name_with_checked_parameters():
    policy = make_policy("forecast", {"fill": 0.8}, 1024)
    assert policy.controller is policy.admission
    for parameters, words in (({"fil": 1}, "did you mean fill"), ({"fill": 2}, "controller.fill")):
        with pytest.raises(InputError, match=words):
            make_policy("forecast", parameters, 1024)


# Where nothing is to be gained --------------------------------------------------------------------------------------------


def test_where_agents_grow_by_much_or_little_there_is_room_for_that():
    def limit(growths, within=None):
        """One conversation that grows by so much in each step, or several, of which the one that it is in grows by `within`."""
        it, one = law(), AgentView(rollout="one", order=0)
        for step, growth in enumerate(growths, 1):
            one.steps, one.growth_tokens, one.context_tokens = step, growth, one.context_tokens + growth
            one.step_tokens = growth if within is None else within
            it.replied(one)
        return sampled(it, active=25).tokens

    assert limit([500] * 40) == int(FILL * POOL)
    assert limit([500] + [0, 1000] * 20) == pytest.approx(FILL * POOL - 3 * 5 * 500, abs=10)
    assert limit([500] + [0, 1000] * 20, within=500) == pytest.approx(FILL * POOL - 5 * 500, abs=10)


def busy(it, agents, seconds=30):
    """A law that has seen agents of 5,000 tokens come and go, with so many active or waiting now."""
    lived(it, tool_s=2.0)
    return sampled(it, 1, seconds, active=4, waiting=agents - 4)


def test_nobody_is_held_back_where_the_engine_could_compute_everything_at_every_step():
    assert busy(law(harmless=1.0), 4)._replace(keep_s=math.inf) == Limit(reason="step-aside")
    assert busy(law(harmless=1.0), 400).tokens < POOL
    assert busy(law(), 4).tokens < POOL


def test_the_old_weigh_what_they_are():
    """Near the end those who are left are older than agents are in the mean, and what they have is more than it could."""
    old = [agent(n, context=60_000, steps=40) for n in range(4)]
    for crowd in ("active", "away", "paused"):
        it = law(harmless=1.0)
        lived(it, tool_s=2.0)
        list(it.yielding(roster(**{crowd: old})))
        assert sampled(it, 1, 30, active=4).tokens < POOL


def test_where_history_is_computed_anew_and_calls_queue_it_was_not_harmless():
    it = law(harmless=1.0)
    busy(it, 4)
    lost = {"missed_tokens": 20_000, "active": 4, "waiting": 0}
    assert sampled(it, 30, 300, **lost, queued_requests=0).reason == "step-aside"  # it keeps up
    assert sampled(it, 300, 600, missed_tokens=0, active=4, waiting=0, queued_requests=3).reason == "step-aside"
    assert sampled(it, 600, 900, **lost, queued_requests=3).tokens < POOL
    assert sampled(it, 900, 1200, missed_tokens=0, active=4, waiting=0).tokens < POOL  # and it is remembered


def test_what_is_computed_anew_for_long_tools_says_nothing_of_what_is_harmless():
    it = lived(law(harmless=1.0), tool_s=30.0)
    strain = {"missed_tokens": 20_000, "queued_requests": 3, "active": 4, "waiting": 0}
    assert sampled(it, 1, 300, **strain).reason == "step-aside"
    for _ in range(40):
        lived(it, tool_s=2.0)
    assert sampled(it, 300, 310, active=4, waiting=0).reason == "step-aside"  # for it is harmless still


def test_how_long_steps_are_is_learned_while_agents_are_held_back():
    it = law(harmless=1.0)
    busy(it, 4)
    lived(it, count=200, tool_s=0.0)  # nobody is held back: it would be too much, with such steps
    assert sampled(it, 30, 60, active=4).reason == "step-aside"


def test_where_the_pool_takes_many_steps_to_prefill_more_of_it_is_kept_free():
    rng = random.Random(0)
    limits = []
    for tool_s in (0.5, 60.0):
        it = law(touch=False)
        for n in range(200):
            one = agent(n, 2000 + rng.randrange(4000), 2)
            one = dataclasses.replace(one, growth_tokens=rng.randrange(4000), tool_started=1.0)
            it.replied(one)
            it.tool_ended(one, tool_s)
        for time in range(1, 9):
            limit = it.update(
                Sample(
                    engine="e",
                    time=time,
                    capacity_tokens=1_000_000,
                    prefill_tokens=10_000,
                    prefill_busy_seconds=0.5,
                    active=100,
                    history_tokens=1000,
                    missed_tokens=0,
                )
            )
        limits.append(limit.tokens)
    quick, slow = limits
    assert 0.55 * 940_000 < quick < 0.93 * slow
