import re
import threading

import pytest
from metered import EPOCH, STORY, Metered, replied, started

from concur_batch import records as r
from concur_batch.metrics.gauges import beside_a_writer
from concur_batch.metrics.tally import MOST_TOOLS


def test_a_run_before_its_first_record():
    metered = Metered()
    assert metered.values("concur_rollouts")[("completed",)] == 0
    assert metered.values("concur_agents") == {}


def test_rollouts_add_up_and_agents_tell_what_they_do():
    metered = Metered(STORY)
    rollouts = metered.values("concur_rollouts")
    assert rollouts == dict.fromkeys(rollouts, 0) | {("error",): 1, ("begun",): 4, ("never_started",): 1}
    assert metered.values("concur_agents") == {("e", "active"): 2, ("e", "paused"): 1, ("e", "yielded"): 1}
    assert metered.values("concur_active_agents") == {("e", "model"): 1, ("e", "tool"): 1}
    assert metered.values("concur_active_context_tokens") == {("e",): 110}
    assert metered.values("concur_elapsed_seconds") == {(): 6.0}
    assert metered.values("concur_start_time_seconds") == {(): EPOCH}


def test_engine_and_controller():
    metered = Metered(STORY)
    one = {"concur_limit_tokens": 800, "concur_kv_locked_ratio": 0.5, "concur_kv_resident_ratio": 0.75, "concur_engine_up": 1,
           "concur_cache_hit_ratio": 0.25, "concur_cache_miss_ratio": 0.25, "concur_kv_capacity_tokens": 1000,
           "concur_engine_running_requests": 2, "concur_engine_queued_requests": 1}  # fmt: skip
    assert {name: metered.values(name) for name in one} == {name: {("e",): value} for name, value in one.items()}
    assert metered.values("concur_limit_agents") == {}  # it no longer sets one
    assert metered.values("concur_decisions_total") == {("e", "start"): 1, ("e", "hold"): 1}
    metered.take([r.EngineLost(t=7.0, engine="e", message="gone"), r.Sampled(t=7.0, engine="e", stale=True)])
    assert metered.values("concur_engine_up") == {("e",): 0}
    assert metered.values("concur_engine_losses_total") == {("e",): 1}
    assert metered.values("concur_kv_locked_ratio") == {}  # rather nothing than something old


@pytest.mark.parametrize(
    ("decided", "told"),
    [
        ({"agents": 8}, 8),
        ({"agents": 64}, 64),
        ({"agents": 64, "tokens": 800, "reason": "grow"}, None),
        ({"agents": 12, "tokens": 800, "reason": "grow"}, 12),
        ({"agents": 64, "requests": 4, "reason": "fixed"}, None),
        ({"agents": 64, "reason": "step-aside"}, None),
        ({"agents": 64, "reason": "off"}, None),
    ],
)
def test_what_the_whole_run_may_have_is_no_limit_of_the_controller(decided, told):
    metered = Metered(
        [*STORY[:1], r.BatchLoaded(t=0.0, tasks=6, rollouts=6, max_agents=64), r.Decided(t=1.0, engine="e", **decided)]
    )
    assert metered.values("concur_limit_agents") == ({} if told is None else {("e",): told})
    assert metered.values("concur_max_agents") == {(): 64}


@pytest.mark.parametrize(("policy", "told"), [("forecast", {}), ("off", {}), ("fixed:64", {("e",): 64}), ("aimd", {("e",): 64})])
def test_a_controller_that_found_nothing_to_limit_has_no_limit(policy, told):
    """`forecast` says `no-evidence`, too, of what stays as it was."""
    loaded = r.BatchLoaded(t=0.0, tasks=6, rollouts=6, max_agents=64)
    seen = r.EngineSeen(t=0.0, engine="e", engine_kind="sglang", policy=policy)
    metered = Metered([*STORY[:1], loaded, seen, r.Decided(t=1.0, engine="e", agents=64, reason="no-evidence")])
    assert metered.values("concur_limit_agents") == told


def test_what_a_person_has_a_hand_on():
    metered = Metered(STORY)
    told = [metered.values(f"concur_{name}") for name in ("admission_held", "limit_factor")]
    assert told == [{(): 0}, {(): 1}]
    metered.take([r.Steered(t=7.0, held=True, factor=0.8264)])
    told = [metered.values(f"concur_{name}") for name in ("admission_held", "limit_factor")]
    assert told == [{(): 1}, {(): 0.8264}]


def test_calls_and_tools():
    metered = Metered(STORY)
    totals = {"steps": 2, "prompt_tokens": 200, "cached_prompt_tokens": 80, "history_tokens": 90, "missed_tokens": 10,
              "generated_tokens": 20, "model_call_retries": 2, "model_call_retry_seconds": 0.5,
              "model_call_wait_seconds": 0.25, "yields": 1, "paused_seconds": 1}  # fmt: skip
    assert {name: metered.values(f"concur_{name}_total") for name in totals} == {
        name: {("e",): value} for name, value in totals.items()
    }
    assert metered.values("concur_model_call_failures_total") == {("e", "EngineRefused"): 1}
    assert metered.values("concur_tool_calls_total") == {("sandbox", "shell"): 1}
    assert metered.values("concur_pauses_total") == {("e", "limit"): 2}
    assert metered.values("concur_rollouts_ended_total") == {("error",): 1}
    assert metered.values("concur_rollout_errors_total") == {("engine",): 1}


def test_retries_count_as_they_are_made_and_those_of_failed_calls_too():
    metered, where = Metered(STORY), {"rollout": "t3#0", "engine": "e", "step": 1, "n": 1}
    again = {"error": "EngineBusy", "message": "503", "pause_s": 1.0}
    metered.take([r.CallRetried(t=8.0, **where, **again, retries=k, retry_s=k * 1.0) for k in (1, 2)])
    assert metered.values("concur_model_call_retries_total") == {("e",): 4}
    metered.take([r.CallFailed(t=9.0, **where, hash="h", error="EngineBusy", message="503", retries=2, retry_s=3.0, wait_s=0.5)])
    assert metered.values("concur_model_call_retries_total") == {("e",): 4}
    assert metered.values("concur_model_call_retry_seconds_total") == {("e",): 3.5}
    assert metered.values("concur_model_call_wait_seconds_total") == {("e",): 0.75}


def test_histograms_are_cumulative():
    metered = Metered(STORY)
    buckets = metered.values("concur_model_call_seconds_bucket")
    assert [buckets["e", bound] for bound in ("1.0", "2.5", "1000.0", "+Inf")] == [0, 2, 2, 2]
    assert metered.values("concur_model_call_seconds_sum") == {("e",): 3.0}
    assert metered.values("concur_tool_call_seconds_count") == {("shell",): 1}
    assert metered.values("concur_rollout_seconds_bucket")["5.0", "error"] == 1
    assert metered.values("concur_rollout_seconds_bucket")["1.0", "error"] == 0


def test_names_keep_to_the_conventions():
    for line in Metered(STORY).text.splitlines():
        if line.startswith("# TYPE concur_"):
            _, _, name, kind = line.split(" ")
            assert re.fullmatch(r"concur(_[a-z]+)+", name)
            assert name.endswith("_total") == (kind == "counter"), name
            assert not re.search(r"_(s|ms|percent|count)$", name), "base units, spelt out"
            assert kind != "histogram" or name.endswith("_seconds")


def test_the_process_tells_of_itself():
    assert "process_resident_memory_bytes" in Metered().names
    assert [*Metered().values("concur_run_info")] == [("first", Metered().text.split('version="')[1].split('"')[0])]


def test_tools_that_a_model_makes_up_do_not_fill_memory():
    metered = Metered()
    calls = [r.ToolFinished(t=1.0, rollout="a#0", step=1, n=1, tool=f"tool{i}", output="") for i in range(5 * MOST_TOOLS)]
    metered.take([*calls, r.ToolFinished(t=1.0, rollout="a#0", step=1, n=1, tool='x"\n' * 50, output="")])
    counted = metered.values("concur_tool_calls_total")
    assert len(counted) == MOST_TOOLS + 1
    assert counted["ok", "other"] == 4 * MOST_TOOLS + 1


def test_reading_beside_the_thread_that_writes():
    metered = Metered(STORY)
    stop = threading.Event()

    def write():
        i = 0
        while not stop.is_set():
            i += 1
            metered.take([started(f"x{i}#0"), replied(f"x{i}#0"), *([] if i % 3 else [r.RolloutFinished(
                t=9.0, rollout=f"x{i}#0", engine="e", status="completed")])])  # fmt: skip

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(30):
            assert "concur_steps_total" in metered.text
    finally:
        stop.set()
        writer.join()


def test_a_state_that_cannot_be_read_costs_the_gauges_only(caplog):
    metered = Metered(STORY)
    metered.state.live = None
    assert metered.values("concur_agents") == {}
    assert metered.values("concur_steps_total") == {("e",): 2}
    assert "state could not be read" in caplog.text


def test_a_reading_that_keeps_failing_is_given_up():
    def read():
        raise RuntimeError("dictionary changed size during iteration")

    with pytest.raises(RuntimeError):
        beside_a_writer(read)


def test_names_that_are_no_utf8_do_not_take_the_others_along():
    metered = Metered([*STORY, r.ToolFinished(t=7.0, rollout="a#0", step=1, n=1, tool="x\ud800", output="")], run="o\udcff")
    assert metered.values("concur_tool_calls_total")["ok", "x?"] == 1
    assert [run for run, _ in metered.values("concur_run_info")] == ["o?"]
