"""Figures of runs on a server: percentiles from histograms, differences of counters, medians in a table."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "bench"))
import policies
import served_run

INF = float("inf")


@pytest.mark.parametrize(
    ("share", "seconds"),
    [(0.5, 1.0), (0.25, 0.5), (0.75, 2.0), (0.9, 3.0), (0.99, 3.0)],  # what lies beyond the last edge is told by it
)
def test_a_quantile_lies_within_its_bucket(share, seconds):
    assert served_run.quantile({1.0: 10, 3.0: 18, INF: 20}, share) == pytest.approx(seconds, abs=0.3)


def test_without_requests_there_is_no_quantile():
    assert served_run.quantile({}, 0.5) is None
    assert served_run.quantile({1.0: 0, INF: 0}, 0.5) is None


def series(**values):
    return {(f"sglang:{name}", labels): value for name, found in values.items() for labels, value in found.items()}


def test_counters_are_told_as_differences_without_counting_a_priority_twice():
    compute, cache = (("mode", "prefill_compute"), ("priority", "")), (("mode", "prefill_cache"), ("priority", ""))
    twice = (("mode", "prefill_compute"), ("priority", "3"))
    before = series(realtime_tokens_total={compute: 100.0, cache: 7.0})
    after = series(
        realtime_tokens_total={compute: 150.0, cache: 9.0, twice: 40.0},
        evicted_tokens_total={(): 12.0},
        time_to_first_token_seconds_sum={(): 6.0},
        time_to_first_token_seconds_count={(): 3.0},
        time_to_first_token_seconds_bucket={(("le", "1.0"),): 0.0, (("le", "3.0"),): 3.0, (("le", "+Inf"),): 3.0},
    )
    found = served_run.counted(before, after)
    assert (found["prefill_computed_tokens"], found["evicted_tokens"], found["retractions"]) == (50.0, 12.0, None)
    assert found["ttft_mean_s"] == 2.0
    assert 1.0 < found["ttft_p50_s"] < found["ttft_p99_s"] < 3.0


def figures(controller, makespan, *, finished=True):
    return {"controller": controller, "makespan_s": makespan, "finished": finished, "hit_rate": 0.5, "generated_per_s": 9.96}


def test_the_table_has_medians_and_what_is_faster():
    done = [figures("off", 60.0), figures("aimd", 30.0), figures("off", 50.0), figures("aimd", 24.0), figures("off", 70.0)]
    rows = policies.rows(done)
    assert [row[:7] for row in rows] == [
        ["off", "3", "60.0 (50.0-70.0)", "1.00", "10.0", "-", "50.0%"],
        ["aimd", "2", "27.0 (24.0-30.0)", "2.22", "10.0", "-", "50.0%"],
    ]
    assert policies.rows([figures("off", 9.0, finished=False)])[0][2] == "9.0 cut"
    assert policies.rows([]) == []
