"""The judge of behaviour is itself judged, and the load that was sent is read back from a run's journal as it was."""

import json
import sys
import tomllib
from pathlib import Path

import pytest

from concur_batch import records as r
from concur_batch.journal.writer import JournalWriter
from concur_batch.sim.trace import trace_of
from concur_batch.sim.workload import AgentTrace

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "fidelity"))
import behaviour_load
import behaviour_twin
import behaviour_verdict as judge


def run(makespan, hit=0.8, miss=0.0):
    return {"makespan_s": makespan, "hit_rate": hit, "miss_rate": miss, "finished": True}


def policy(name, real, simulated, hit=0.8, sim_hit=0.8, miss=0.0, sim_miss=0.0):
    twins = [run(simulated, sim_hit, sim_miss)] * len(real)
    return judge.policy(name, [run(seconds, hit, miss) for seconds in real], twins, twins)


def test_medians_are_judged_and_spreads_told():
    real, fitted, paced = [run(60.0, 0.25), run(50.0, 0.2), run(100.0, 0.3)], [run(66.0)] * 3, [run(63.0), run(60.0), run(90.0)]
    found = judge.policy("off", real, fitted, paced)
    assert (found.makespan_s, found.least_s, found.most_s) == (60.0, 50.0, 100.0)
    assert found.fitted_error == pytest.approx(0.1)
    assert (found.error, found.least_error, found.most_error) == pytest.approx((0.05, -0.1, 0.2))
    assert found.hit_error == pytest.approx(0.55)


@pytest.mark.parametrize(
    ("missed", "at"),
    [
        ({4: 0.0, 8: 0.0, 12: 0.4}, 9.0),
        ({4: 0.0, 8: 0.05, 10: 0.15, 12: 0.4}, 9.0),
        ({4: 0.0, 8: 0.05}, None),
        ({8: 0.3, 12: 0.4}, None),
        ({}, None),
    ],
)
def test_the_knee_is_where_a_tenth_of_the_history_is_missed(missed, at):
    assert judge.knee(missed) == (at if at is None else pytest.approx(at))


def test_only_what_the_real_runs_tell_apart_has_an_order():
    found = [policy("a", [10, 12], 11), policy("b", [11, 13], 9), policy("c", [20, 22], 10)]
    assert judge.order_kept(found) == (1, 2)  # a and b overlap; b before c holds, a before c does not


def test_the_verdict_names_what_is_off():
    found = [
        policy("off", [60.0], 60.0, hit=0.2, sim_hit=0.2, miss=0.7, sim_miss=0.7),
        policy("fixed:8", [30.0], 31.0, miss=0.0, sim_miss=0.0),
        policy("fixed:12", [45.0], 60.0, hit=0.6, sim_hit=0.5, miss=0.2, sim_miss=0.4),
    ]
    assert judge.verdict(found) == [
        "knee (10 % of the history missed): real window 10.0, simulated 9.0: -10.0%; wanted within 10%",
        "makespan: 2 of 3 within 10%; worst fixed:12: +33.3%",
        "cached share: 2 of 3 within 0.03; furthest fixed:12: -0.100",
        "order: 3 of the 3 pairs that the real runs tell apart are in the same order",
    ]
    assert judge.table(found)[2:][1] == (
        "| `fixed:8` | 30.0 (30.0-30.0) | 31.0, +3.3% | +3.3% (+3.3% to +3.3%) | 0.800 (0.800-0.800) | +0.000 |"
    )


def test_controllers_are_compared_within_each_round():
    runs = [
        {"controller": name, "run": number, "makespan_s": seconds}
        for number, found in enumerate(({"fixed:8": 10.0, "forecast": 8.0}, {"forecast": 25.0, "fixed:8": 20.0}))
        for name, seconds in found.items()
    ]
    assert judge.compared(runs) == ["forecast: 1.000 times as fast as fixed:8 (0.800-1.250, round by round)"]


def test_a_drawn_load_is_a_trace(tmp_path):
    lines = behaviour_load.drawn(tmp_path / "load.jsonl").read_text().splitlines()
    assert len(lines) == behaviour_load.DRAWN.agents
    assert all(isinstance(trace_of(json.loads(line)), AgentTrace) for line in lines)


def test_what_was_sent_is_read_back(tmp_path):
    writer = JournalWriter(tmp_path)
    for index, rollout in ((1, "b#0"), (0, "a#0")):
        writer.write(_started(rollout, index))
        writer.write(_reply(rollout, 1, prompt=100 + index, generated=10, cached=60 * index))
        writer.write(r.ToolStarted(t=2.0, rollout=rollout, step=1, n=2, tool="wait", hash="h", call_id=None, repeatable=True))
        writer.write(_tool_finished(rollout, 2.5))
        writer.write(_reply(rollout, 2, prompt=150, generated=7, cached=109))
    writer.close()
    first, second = behaviour_load.sent(tmp_path)
    assert first == AgentTrace(shared_tokens=60, prompt_tokens=100, outputs=(10, 7), observations=(40,), tool_seconds=(0.5,))
    assert (second.prompt_tokens, second.observations) == (101, (39,))


def _started(rollout, index):
    return r.RolloutStarted(
        t=0.0, rollout=rollout, engine="e", task=rollout[:1], k=0, index=index, seed=0, attempt=1, agent="replay", model="m",
        messages=[], metadata={}, target=None, resumed=False,
    )  # fmt: skip


def _reply(rollout, step, *, prompt, generated, cached):
    return r.ReplyReceived(
        t=1.0, rollout=rollout, engine="e", step=step, n=2 * step - 1, hash="h", after=0, base=0, new=[], message={},
        finish_reason="length", prompt_tokens=prompt, completion_tokens=generated, cached_tokens=cached, reasoning_tokens=0,
        history_tokens=0, missed_tokens=0, after_pause=False, model_s=0.1, wait_s=0.0, retries=0, retry_s=0.0,
    )  # fmt: skip


def _tool_finished(rollout, t):
    return r.ToolFinished(t=t, rollout=rollout, step=1, n=2, tool="wait", output="", seconds=0.4)


def test_a_profile_is_slowed_down_as_a_whole(tmp_path):
    profile = tmp_path / "fitted.toml"
    profile.write_text('name = "tiny"\npool_tokens = 20000\n\n[cost]  # seconds\nprefill_fixed_s = 0.5\ndecode_fixed_s = 0.01\n')
    slow = tomllib.loads(behaviour_twin.scaled(profile, 2.0, tmp_path / "slow.toml").read_text())
    assert slow == {"name": "tiny", "pool_tokens": 20000, "cost": {"prefill_fixed_s": 1.0, "decode_fixed_s": 0.02}}
