"""Equation 1, sample by sample."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.control.aimd import Aimd, AimdParameters
from concur_batch.control.base import Sample


def sample(time, locked=0.1, prompt=1000, cached=900, **more):
    return Sample(engine="e", time=time, locked=locked, prompt_tokens=prompt, cached_tokens=cached, active=8, **more)


def aimd(max_agents=1024, **parameters):
    return Aimd(AimdParameters(**parameters), max_agents)


def path(controller, samples):
    return [controller.update(s).agents for s in samples]


def test_starts_at_the_first_window():
    assert aimd().first.agents == 8


def test_grows_by_alpha_below_u_low():
    assert path(aimd(), [sample(t) for t in (1, 2, 3)]) == [10, 12, 14]


def test_holds_in_the_dead_band():
    assert path(aimd(), [sample(t, locked=0.35) for t in (1, 2, 3)]) == [8, 8, 8]


def test_cuts_by_beta_when_full_and_missing():
    assert path(aimd(first=64), [sample(t, locked=0.9, cached=100) for t in (1, 2, 3)]) == [32, 16, 8]


def test_does_not_cut_while_the_cache_hits():
    assert path(aimd(first=64), [sample(1, locked=0.9, cached=900)]) == [64]


def test_hit_rate_is_averaged_over_the_window():
    controller = aimd(first=64)
    samples = [sample(t, locked=0.3, cached=900) for t in range(1, 11)] + [sample(11, locked=0.9, cached=0)]
    assert path(controller, samples)[-1] == 64
    assert path(controller, [sample(t, locked=0.9, cached=0) for t in range(12, 30)])[-1] < 64


def test_no_prompt_tokens_are_no_evidence_for_a_cut():
    limit = aimd(first=64).update(sample(1, locked=0.9, prompt=0, cached=0))
    assert (limit.agents, limit.reason) == (64, "no-evidence")


def test_a_stale_reading_changes_nothing():
    controller = aimd()
    controller.update(sample(1))
    limit = controller.update(sample(2, locked=None))
    assert (limit.agents, limit.reason) == (10, "no-evidence")


def test_an_idle_engine_does_not_grow_the_window():
    limit = aimd().update(Sample(engine="e", time=1, locked=0.0))
    assert (limit.agents, limit.reason) == (8, "no-evidence")


def test_never_below_the_floor_nor_above_the_ceiling():
    low = aimd(first=3)
    assert path(low, [sample(t, locked=0.9, cached=0) for t in range(1, 9)])[-1] == 2
    assert path(aimd(max_agents=11), [sample(t) for t in range(1, 9)])[-1] == 11


def test_more_frequent_samples_do_not_make_it_faster():
    assert path(aimd(), [sample(t / 4) for t in range(4, 17)])[-1] == 8 + 2 * 4


def test_timers_that_jitter_do_not_skip_steps():
    assert path(aimd(), [sample(t) for t in (1.0, 1.999, 3.001)]) == [10, 12, 14]


def test_replies_alone_grow_while_they_hit_and_cut_when_they_miss():
    controller = aimd(first=16, h_window_s=1)
    assert controller.update(sample(1, locked=None)).reason == "grow"
    assert controller.update(sample(3, locked=None, cached=10, history_tokens=900)).reason == "cut"


def test_without_any_cache_evidence_it_is_fixed_and_says_so():
    limit = aimd().update(sample(1, locked=None, cached=None))
    assert (limit.agents, limit.reason) == (64, "no cache evidence: fixed:64")


def test_what_the_engine_prefilled_stands_in_for_a_cache_report():
    controller = aimd(first=64)
    assert controller.update(sample(1, locked=0.9, cached=None, prefill_tokens=950)).reason == "cut"


def test_a_miss_counts_once_also_where_both_the_engine_and_the_replies_tell_of_it():
    """The engine computes in one interval what is replied in the next."""
    controller = aimd(first=64)
    computed, replied = {"prompt": 0, "cached": None, "prefill_tokens": 500}, {"prompt": 1000, "cached": 500}
    reasons = [controller.update(sample(2 * n + 1, locked=0.9, **replied, prefill_tokens=0)).reason for n in range(3)]
    reasons += [controller.update(sample(2 * n + 8, locked=0.9, **computed)).reason for n in range(3)]
    assert reasons == ["hold"] * 6


@pytest.mark.parametrize(("rounding", "agents"), [("floor", 4), ("nearest", 5), ("ceil", 5)])
def test_rounding(rounding, agents):
    assert aimd(first=9, rounding=rounding).update(sample(1, locked=0.9, cached=0)).agents == agents


def test_slow_start_doubles_until_the_first_cut():
    controller = aimd(slow_start=True, h_window_s=1)
    assert path(controller, [sample(1), sample(2), sample(3, locked=0.9, cached=0), sample(4)]) == [16, 32, 16, 18]


shares = st.one_of(st.none(), st.floats(0, 1))
any_sample = st.builds(dict, locked=shares, prompt=st.integers(0, 10**6), cached=st.one_of(st.none(), st.integers(0, 10**6)))


@given(st.lists(any_sample, max_size=60), st.integers(1, 300))
def test_the_window_stays_within_bounds_whatever_comes(readings, max_agents):
    controller, twin = aimd(max_agents=max_agents), aimd(max_agents=max_agents)
    for time, reading in enumerate(readings, start=1):
        limit = controller.update(sample(float(time), **reading))
        assert min(2, max_agents) <= limit.agents <= max_agents
        assert limit == twin.update(sample(float(time), **reading))


def test_agents_that_are_all_in_tools_are_no_evidence_either():
    limit = aimd().update(Sample(engine="e", time=1, locked=0.0, running_requests=0, active=8))
    assert (limit.agents, limit.reason) == (8, "no-evidence")


def test_replies_that_fall_silent_leave_the_word_to_the_engine():
    """As after a restart without --enable-cache-report; before, the replies alone counted."""
    controller = aimd(first=64, h_window_s=5.0)
    assert path(controller, [sample(1, locked=0.9, cached=900, prefill_tokens=1000)]) == [64]
    assert path(controller, [sample(t, locked=0.9, cached=None, prefill_tokens=950) for t in (10, 11)]) == [32, 16]
    assert path(controller, [sample(20, locked=0.9, cached=None, prefill_tokens=100)]) == [16]
