"""The default policy's limit: samples in, limits and their reasons out."""

import itertools

import pytest
from laws import FILL, POOL, agent, law, lived, roster, sample, sampled

from concur_batch.control.base import UNLIMITED, Limit, Sample
from concur_batch.control.forecast import Forecast
from concur_batch.control.forecast_parameters import ForecastParameters


def test_sixteen_until_the_first_sample_and_fewer_in_a_small_pool():
    assert law().first == Limit(agents=16, reason="first")
    assert law(max_agents=3).first.agents == 3
    assert Forecast(ForecastParameters(), 1024, 32_768).first.agents == 8
    assert Forecast(ForecastParameters(), 1024, 500).first.agents == 8  # the most, where their prompts are short enough


def test_the_limit_is_a_share_of_the_pool():
    assert sampled(law()).tokens == int(FILL * POOL)
    assert sampled(law(fill=0.5)).tokens == POOL // 2


def test_misses_bring_it_down():
    it = law()
    list(it.yielding(roster(sampled(it).tokens, [agent(n, 9000) for n in range(10)])))
    limit = sampled(it, 10, 15, missed_tokens=20_000)
    assert (limit.tokens, limit.reason) == (int(FILL * 0.93 * POOL), "cooldown")


def test_misses_while_it_steps_aside_do_not():
    it = lived(law(), tool_s=30.0)
    list(it.yielding(roster(sampled(it).tokens, [agent(n, 9000) for n in range(10)])))
    sampled(it, 10, 100, missed_tokens=20_000)
    assert sampled(lived(it, count=60), 100, 110).tokens > 0.6 * POOL


def test_ended_agents_leave_kv_that_takes_room_unless_the_engine_lets_it_go_first():
    for frees_ended, least, most in ((False, 0.6, FILL - 0.03), (True, FILL - 0.02, FILL - 0.02)):
        it = law()
        it.update(sample(1.0, frees_ended=frees_ended))
        tokens = sampled(lived(it, count=60), stop=7, frees_ended=frees_ended).tokens
        assert least * POOL - 1 <= tokens <= most * POOL + 1


def test_the_reason_tells_whether_the_limit_stays_and_else_what_moved_it():
    it = law()
    limits = [it.update(sample(0.5))]
    for second in range(1, 60):
        if second % 7 == 0:
            it = lived(it)
        list(it.yielding(roster(limits[-1].tokens, [agent(n, 9000) for n in range(6)])))
        limits.append(sampled(it, second, second + 1, missed_tokens=20_000 if 30 <= second < 35 else 0))
    assert limits[0].reason == "pool"
    for before, after in itertools.pairwise(limits):
        assert (after.reason in ("hold", "cooldown", "no-evidence")) == (after.tokens == before.tokens)
    assert {"hold", "reserve", "cut", "grow"} <= {limit.reason for limit in limits}
    sampled(it, 60, 120)
    assert sampled(it, 120, 121, capacity_tokens=POOL // 2).reason == "pool"


def test_while_calls_are_under_way_and_nothing_is_heard_the_limit_stays():
    it = law()
    list(it.yielding(roster(sampled(it).tokens, [agent(n, 9000) for n in range(10)])))
    busy = [agent(n, 9000, calls=1) for n in range(10)]
    cut = sampled(it, 10, 15, missed_tokens=20_000)
    nothing = {
        "capacity_tokens": None,
        "prefill_tokens": None,
        "prefill_busy_seconds": None,
        "history_tokens": 0,
        "missed_tokens": 0,
    }
    for second in range(15, 60):
        list(it.yielding(roster(cut.tokens, busy, now=float(second))))
        limit = it.update(sample(float(second), prompt_tokens=0, cached_tokens=0, **nothing))
        assert (limit.tokens, limit.reason) == (cut.tokens, "no-evidence")
    heard = it.update(sample(60.0))
    assert cut.tokens < heard.tokens <= cut.tokens + 0.011 * POOL
    assert heard.reason == "grow"


def test_what_was_prefilled_while_nothing_was_heard_took_all_that_time():
    prefilled = {"prefill_tokens": 2000, "prefill_busy_seconds": None}
    for silent in (True, False):
        it = law()
        sampled(it, 1, 10, **prefilled)
        list(it.yielding(roster(int(FILL * POOL), [agent(n, 9000, calls=1) for n in range(10)])))
        for second in range(10, 40):
            it.update(Sample(engine="e", time=float(second)) if silent else sample(float(second), **prefilled))
        limit = it.update(sample(40.0, **prefilled | ({"prefill_tokens": 31 * 2000} if silent else {})))
        assert limit.keep_s == pytest.approx(POOL / 2000)


def test_a_server_that_tells_nothing_of_itself_is_not_waited_for():
    it = law()
    busy = [agent(n, 9000, calls=1) for n in range(10)]
    for second in range(1, 30):
        replied = second % 10 == 5
        told = {"prompt_tokens": 3000, "cached_tokens": None, "missed_tokens": None} if replied else {}
        limit = it.update(Sample(engine="e", time=float(second), **told))
        list(it.yielding(roster(UNLIMITED, busy, now=float(second))))
    assert limit == Limit(agents=64, reason="no cache evidence: fixed:64")


def test_without_cache_evidence_it_is_fixed_and_says_so():
    blind = {"capacity_tokens": None, "cached_tokens": None, "prefill_tokens": None, "missed_tokens": None}
    limit = law().update(Sample(engine="e", time=1.0, prompt_tokens=500, **blind))
    assert limit == Limit(agents=64, reason="no cache evidence: fixed:64")
    assert law(max_agents=5).update(Sample(engine="e", time=1.0, prompt_tokens=500, **blind)).agents == 5
    assert law().update(Sample(engine="e", time=1.0, **blind)) == Limit(agents=16, reason="no-evidence")


def test_a_server_that_tells_nothing_tells_nothing_of_it_in_a_second_without_replies_either():
    tells_nothing = law()
    blind = {"cached_tokens": None, "missed_tokens": None}
    limits = [
        tells_nothing.update(Sample(engine="e", time=t, prompt_tokens=tokens, **blind)) for t, tokens in enumerate((0, 500, 0, 0))
    ]
    assert [limit.agents for limit in limits] == [16, 64, 64, 64]


def test_replies_that_tell_but_not_yet_of_history_are_waited_for():
    it = law()
    first = Sample(engine="e", time=1.0, prompt_tokens=500, cached_tokens=100, missed_tokens=None)
    assert it.update(first) == Limit(agents=16, reason="no-evidence")
    assert it.update(Sample(engine="e", time=2.0, missed_tokens=None, cached_tokens=None)).agents == 16
    later = Sample(engine="e", time=3.0, prompt_tokens=500, cached_tokens=400, history_tokens=400, missed_tokens=0)
    assert it.update(later).tokens < UNLIMITED
