from concur_batch.results.means import means, under_the_same_seeds
from concur_batch.results.span import merged, span


def limit(first, low, high, last):
    return {"agents": {"first": first, "low": low, "high": high, "last": last}, "tokens": None, "requests": None}


def run(controller, seed, makespan, **more):
    return {
        "controller": controller,
        "profile": "p",
        "seed": seed,
        "makespan_s": makespan,
        "ttft_p50_s": None,
        "statuses": {"completed": 4},
        "limit": limit(8, 4, 8, 8),
        **more,
    }


def test_a_row_per_controller_with_means_and_the_spread():
    off, aimd = means([run("off", 0, 10.0), run("off", 1, 20.0), run("aimd", 0, 5.0), run("aimd", 1, 9.0)])
    assert (off["controller"], off["profile"], off["makespan_s"]) == ("off", "p", 15.0)
    assert (off["least_makespan_s"], off["most_makespan_s"]) == (10.0, 20.0)
    assert (aimd["makespan_s"], aimd["statuses"], aimd["ttft_p50_s"]) == (7.0, {"completed": 8}, None)


def test_of_one_run_it_is_that_run():
    one = run("off", 3, 10.0)
    assert means([one]) == [one]


def test_only_runs_under_the_same_seeds_can_be_compared():
    off, aimd = ([run(name, seed, 10.0) for seed in range(3)] for name in ("off", "aimd"))
    assert under_the_same_seeds([*off, *aimd]) == [*off, *aimd]
    assert under_the_same_seeds([*off, *aimd[:2]]) == [*off[:2], *aimd[:2]]
    assert under_the_same_seeds([off[0], aimd[1]]) == [off[0], aimd[1]]
    assert under_the_same_seeds([]) == []


def test_limits_and_windows_of_several_runs_are_taken_together():
    runs = [
        run("fixed:auto", 0, 10.0, window=44, limit=limit(44, 44, 44, 44)),
        run("fixed:auto", 1, 10.0, window=None, limit=limit(64, 2, 64, 40)),
    ]
    (row,) = means(runs)
    assert row["windows"] == [44, None]
    assert row["limit"] == limit(54, 2, 64, 42)


def test_where_a_limit_went():
    assert span([(0.0, 8), (1.0, 3), (2.0, 12), (3.0, 9)]) == {"first": 8, "low": 3, "high": 12, "last": 9}
    assert span([(0.0, None), (1.0, 3)]) == {"first": None, "low": 3, "high": None, "last": 3}
    assert span([]) is None
    assert merged([None, span([(0.0, 5)])]) == span([(0.0, 5)])
    assert merged([None]) is None
