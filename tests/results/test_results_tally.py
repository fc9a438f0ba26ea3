import pytest
from hypothesis import given
from hypothesis import strategies as st
from journals import EPOCH, end, reply, segment, start

from concur_batch import records as r
from concur_batch.results.tally import Tally, percentile


def tally(*records):
    made = Tally()
    for record in records:
        made.apply(record)
    return made


def figures(*records):
    return tally(*records).figures()


def paused(rollout, t, reason="limit"):
    return r.RolloutPaused(t=t, rollout=rollout, engine="e", step=1, reason=reason)


def returned(rollout, t, paused_s):
    return r.RolloutReturned(t=t, rollout=rollout, engine="e", step=1, paused_s=paused_s)


def test_tokens_of_a_hand_made_run():
    found = figures(
        reply("a#0", 1, 0, prompt_tokens=100, completion_tokens=10, cached_tokens=20, history_tokens=0, missed_tokens=0),
        reply("a#0", 2, 0, prompt_tokens=200, completion_tokens=30, cached_tokens=70, history_tokens=110, missed_tokens=40),
        reply("b#0", 1, 0, prompt_tokens=100, completion_tokens=5, cached_tokens=60, history_tokens=50, missed_tokens=0),
    )
    assert found["steps"] == 3
    assert (found["prompt_tokens"], found["generated_tokens"], found["cached_tokens"]) == (400, 45, 150)
    assert (found["history_tokens"], found["recomputed_tokens"]) == (160, 40)
    assert (found["hit_rate"], found["miss_rate"]) == (0.375, 0.25)


def test_what_the_engine_does_not_tell_is_none_and_not_divided_by():
    found = figures(reply("a#0", 1, 0, prompt_tokens=100, cached_tokens=25), reply("b#0", 1, 0, prompt_tokens=300))
    assert (found["prompt_tokens"], found["cached_tokens"], found["hit_rate"]) == (400, 25, 0.25)
    assert (found["history_tokens"], found["recomputed_tokens"], found["miss_rate"]) == (None, None, None)


def test_agents_of_one_step_recompute_nothing_and_have_no_miss_rate():
    found = figures(reply("a#0", 1, 0, cached_tokens=0, history_tokens=0, missed_tokens=0))
    assert (found["recomputed_tokens"], found["miss_rate"], found["hit_rate"]) == (0, None, 0.0)


def test_an_empty_run_has_counts_and_no_rates():
    found = figures()
    counted = {"steps", "generated_tokens", "prompt_tokens", "pauses", "paused_max_s", "touches"}
    assert {name for name, value in found.items() if value is not None} == counted
    assert all(found[name] == 0 for name in counted)


def test_times_of_agents_and_of_the_whole():
    made = tally(
        *(end(f"a{i}#0", t=100.0 + 10 * i, wall_s=10.0 * i) for i in range(1, 11)),
        end("b#0", "context_length", t=3.0, wall_s=0.0),
    )
    found = made.figures()
    assert found["makespan_s"] == 200.0
    assert (found["agent_p50_s"], found["agent_p95_s"], found["agent_p99_s"]) == (50.0, 95.0, 99.0)
    assert (found["done_p50_s"], found["done_p95_s"], found["done_p99_s"]) == (150.0, 195.0, 199.0)
    assert found["first_result_s"] == 3.0  # as the others count: limits reached are results
    assert made.statuses == {"completed": 10, "context_length": 1}


def test_of_a_rollout_tried_again_the_last_attempt_counts():
    made = tally(
        segment(),
        end("a#0", "error", t=5.0, wall_s=5.0),
        end("b#0", t=8.0, wall_s=8.0),
        segment(EPOCH + 100),
        start("a#0", t=1.0, attempt=2),
        end("a#0", t=4.0, wall_s=3.0, attempt=2),
    )
    assert made.statuses == {"completed": 2}
    assert (made.figures()["makespan_s"], made.figures()["agent_p50_s"]) == (12.0, 5.5)


def test_the_longest_pause_is_one_pause():
    found = figures(
        paused("a#0", 10.0), returned("a#0", 14.0, 4.0), paused("a#0", 20.0), returned("a#0", 25.0, 5.0), end("a#0", t=26.0)
    )  # fmt: skip
    assert (found["pauses"], found["paused_max_s"]) == (2, 5.0)


def test_a_pause_without_return_lasts_until_the_agent_or_the_run_ends():
    pause = [paused("a#0", 10.0), paused("b#0", 12.0)]
    assert figures(*pause, end("c#0", t=30.0))["paused_max_s"] == 20.0
    assert (
        figures(*pause, end("a#0", "timeout", t=15.0), end("b#0", "timeout", t=18.0), end("c#0", t=30.0))["paused_max_s"] == 6.0
    )


def test_a_drain_is_not_a_pause_of_the_policy():
    found = figures(paused("a#0", 10.0, "drain"), end("b#0", t=90.0))
    assert (found["pauses"], found["paused_max_s"]) == (0, 0.0)


def test_the_windows_path_holds_changes_only_and_each_engine_has_its_own():
    made = tally(
        r.Decided(t=0.0, engine="a", agents=8),
        r.Decided(t=0.0, engine="b"),
        r.Decided(t=1.0, engine="a", agents=8, reason="hold"),
        r.Decided(t=2.0, engine="a", agents=4, reason="cut"),
        r.Decided(t=3.0, engine="b"),
    )
    assert made.windows == {"a": [(0.0, 8), (2.0, 4)], "b": [(0.0, None)]}


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, None), ([7.0], 0.99, 7.0), ([3.0, 1.0], 0.5, 2.0), ([1, 2, 3, 4], 0.0, 1), ([1, 2, 3, 4], 1.0, 4), ([0, 10], 0.95, 9.5)],
)  # fmt: skip
def test_percentiles_lie_between_neighbours_in_proportion(values, share, expected):
    assert percentile(values, share) == expected


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_a_percentile_is_within_the_values(values, share):
    assert min(values) <= percentile(values, share) <= max(values) * (1 + 1e-12)


amounts = st.integers(0, 10_000)
lives = st.lists(st.tuples(amounts, amounts, amounts, amounts, st.booleans()), max_size=5)


def life(rollout, steps):
    """One agent's records: its steps, a pause before some of them, its end."""
    t, records = 1.0, [start(rollout)]
    for n, (prompt, cached, history, missed, pauses) in enumerate(steps, start=1):
        if pauses:
            records += [paused(rollout, t), returned(rollout, t + n, float(n))]
            t += n
        t += 1.0
        tokens = {"prompt_tokens": prompt, "cached_tokens": cached, "history_tokens": history, "missed_tokens": missed}
        records.append(reply(rollout, n, 0, t=t, **tokens))
    return [*records, end(rollout, t=t, wall_s=t - 1.0)]


@given(st.lists(lives, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_agents_does_not_matter(agents, random):
    stories = [life(f"a{i}#0", steps) for i, steps in enumerate(agents)]
    one_by_one = figures(*(record for story in stories for record in story))
    mixed, left = [], [list(story) for story in stories]
    while left := [story for story in left if story]:
        mixed.append(random.choice(left).pop(0))
    assert figures(*mixed) == one_by_one


def test_where_the_limits_went():
    def decided(t, engine, agents, tokens=None):
        return r.Decided(t=t, engine=engine, agents=agents, tokens=tokens)

    made = tally(decided(0, "a", 8), decided(1, "a", 4), decided(2, "a", 4), decided(3, "a", 6))
    assert made.windows == {"a": [(0, 8), (1, 4), (3, 6)]}
    assert made.limit == {"agents": {"first": 8, "low": 4, "high": 8, "last": 6}, "tokens": None, "requests": None}
    both = tally(decided(0, "a", 8, 700), decided(0, "b", 4, 300), decided(1, "b", 2, 900))
    assert both.limit["agents"] == {"first": 6, "low": 2, "high": 8, "last": 5}
    assert both.limit["tokens"] == {"first": 500, "low": 300, "high": 900, "last": 800}
    later = tally(decided(0, "a", 4), decided(1, "a", 64, 700), decided(2, "a", 64), decided(3, "a", 64, 500))
    assert later.limit["tokens"] == {"first": 700, "low": 500, "high": None, "last": 500}
    calls = tally(r.Decided(t=0, engine="a", agents=40, requests=10))
    assert calls.limit["requests"] == {"first": 10, "low": 10, "high": 10, "last": 10}
    assert tally().limit == {"agents": None, "tokens": None, "requests": None}
    assert tally(decided(0, "a", None)).limit == {"agents": None, "tokens": None, "requests": None}
