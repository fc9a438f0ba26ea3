"""Figures of runs on a server: percentiles from histograms, differences of counters, medians in a table."""

import sys
import time
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


SCHEDULER = {"engine_type": "unified", "model_name": "tiny", "moe_ep_rank": "0", "pp_rank": "0", "tp_rank": "0"}
REQUESTS = {"engine_type": "unified", "is_streaming": "false", "model_name": "tiny"}
TTFT = "time_to_first_token_seconds"


def series(*told):
    """Name, labels, value, as `metrics` has them."""
    return {(f"sglang:{name}", tuple(sorted(labels.items()))): value for name, labels, value in told}


def first_tokens(labels, count, total, **buckets):
    """A histogram of times to the first token; `buckets`: counts up to 1 and up to 3 seconds."""
    edges = {"1.0": buckets["to_1"], "3.0": buckets["to_3"], "+Inf": count}
    return [
        (f"{TTFT}_count", labels, count),
        (f"{TTFT}_sum", labels, total),
        *((f"{TTFT}_bucket", {**labels, "le": edge}, value) for edge, value in edges.items()),
    ]


def test_counters_are_told_as_differences():
    compute, cache = ({**SCHEDULER, "mode": mode} for mode in ("prefill_compute", "prefill_cache"))
    before = series(("realtime_tokens_total", compute, 100.0), ("realtime_tokens_total", cache, 7.0))
    after = series(
        ("realtime_tokens_total", compute, 150.0),
        ("realtime_tokens_total", cache, 9.0),
        ("evicted_tokens_total", {"cache_type": "RadixCache", "tp_rank": "0"}, 12.0),
        *first_tokens(REQUESTS, 3.0, 6.0, to_1=0.0, to_3=3.0),
    )
    found = served_run.counted(before, after)
    assert (found["prefill_computed_tokens"], found["evicted_tokens"], found["retractions"]) == (50.0, 12.0, None)
    assert found["ttft_mean_s"] == 2.0
    assert 1.0 < found["ttft_p50_s"] < found["ttft_p99_s"] < 3.0


def test_a_scheduler_has_a_total_over_priorities():
    compute = {**SCHEDULER, "mode": "prefill_compute"}
    before = series(("realtime_tokens_total", {**compute, "priority": ""}, 100.0))
    after = series(
        ("realtime_tokens_total", {**compute, "priority": ""}, 150.0),
        ("realtime_tokens_total", {**compute, "priority": "3"}, 40.0),
        ("realtime_tokens_total", {**compute, "priority": "", "dp_rank": "1", "tp_rank": "1"}, 20.0),
        ("num_retracted_requests_total", {**SCHEDULER, "priority": "3"}, 2.0),
        ("num_retracted_requests_total", {**SCHEDULER, "priority": "4"}, 1.0),
    )
    found = served_run.counted(before, after)
    assert (found["prefill_computed_tokens"], found["retractions"]) == (70.0, 3.0)


@pytest.mark.parametrize("warmed_up", [False, True])  # by requests without a priority, which have a series of their own
def test_requests_are_counted_under_each_priority(warmed_up):
    before = series(*first_tokens({**REQUESTS, "priority": ""}, 4.0, 400.0, to_1=0.0, to_3=0.0)) if warmed_up else {}
    after = {
        **before,
        **series(
            *first_tokens({**REQUESTS, "priority": "0"}, 3.0, 7.0, to_1=0.0, to_3=3.0),
            *first_tokens({**REQUESTS, "priority": "-9"}, 1.0, 1.0, to_1=1.0, to_3=1.0),
        ),
    }
    found = served_run.counted(before, after)
    assert found["ttft_mean_s"] == 2.0
    assert found["ttft_p50_s"] == pytest.approx(1 + 2 / 3)
    assert found["ttft_p99_s"] < 3.0


def test_a_run_that_is_cut_has_the_time_to_drain_that_it_is_given(monkeypatch, tmp_path):
    deaf = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)"
    load = served_run.Load(url="", trace=tmp_path, timeout_s=0.3, drain_s=0.3)
    monkeypatch.setattr(served_run.Load, "argv", lambda *_: [sys.executable, "-c", deaf])
    for name, told in {"flush": None, "metrics": {}, "figures": {}}.items():
        monkeypatch.setattr(served_run, name, lambda _, told=told: told)
    began = time.monotonic()
    assert served_run.run(load, "off", tmp_path / "off-0")["finished"] is False
    assert time.monotonic() - began < 10


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


def test_a_controller_may_have_settings():
    load = served_run.Load(url="http://127.0.0.1:1", trace=Path("trace.jsonl"))
    plain, tuned = (load.argv(told, Path("out")) for told in ("forecast", "forecast+touch=false+fill=0.9"))
    assert [text for text in tuned if text not in plain] == ["--set", "controller.touch=false", "--set", "controller.fill=0.9"]
