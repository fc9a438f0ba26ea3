"""Which agents, how large a pool, which windows: from the trace alone."""

import json
from pathlib import Path

import plan
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.sim.workload import AgentTrace


def agent(private: int = 1000, *, calls: int = 4, shared: int = 200) -> AgentTrace:
    """Grows evenly from a tenth of its private tokens to all of them."""
    step = private // calls
    return AgentTrace(
        shared_tokens=shared,
        prompt_tokens=shared + private - step * (calls - 1) - 10,
        outputs=(10,) * calls,
        observations=(step - 10,) * (calls - 1),
        tool_seconds=(0.1,) * (calls - 1),
    )


def row(prompt: int, calls: int) -> str:
    turns = calls - 1
    return json.dumps(
        {
            "input_prompt_length": prompt,
            "shared_prefix_length": 100,
            "num_turns": turns,
            "assistant_response_length": [20] * turns,
            "tool_call_output_length": [30] * turns,
            "tool_call_latency": [1.0] * turns,
            "final_assistant_response_length": 20,
        }
    )


def test_the_working_set_counts_what_all_share_once() -> None:
    agents = [agent(1000), agent(2000)]
    assert [one.final_tokens for one in agents] == [1200, 2200]
    assert plan.working_set_tokens(agents) == 200 + 1000 + 2000


def test_the_pool_is_overflowed_as_often_as_asked() -> None:
    agents = [agent(8000)] * 64
    pool = plan.pool_tokens(agents, 4.0)
    assert plan.working_set_tokens(agents) / pool == pytest.approx(4.0, rel=1e-3)


def test_the_pool_holds_the_largest_agent_with_room_to_spare() -> None:
    agents = [agent(30_000)] + [agent(1000)] * 5
    assert plan.pool_tokens(agents, 5.0) == round(1.25 * 30_200)


def test_the_pool_holds_the_texts_that_replay_asks_about() -> None:
    assert plan.pool_tokens([agent()] * 3, 6.0) == plan.LEAST_POOL_TOKENS


def test_windows_lie_around_the_agents_that_fit() -> None:
    agents = [agent(8000)] * 64
    pool = plan.pool_tokens(agents, 4.0)
    fitting = (pool - 200) / plan.mean_private_tokens(agents)
    assert plan.windows(agents, pool) == [round(fitting * share) for share in (0.6, 0.8, 1.0, 1.25, 1.5)]


@given(
    st.lists(st.integers(100, 20_000).map(agent), min_size=1, max_size=40),
    st.floats(0.5, 20),
)
def test_every_window_is_one_that_can_bind(agents: list[AgentTrace], overflow: float) -> None:
    found = plan.windows(agents, plan.pool_tokens(agents, overflow))
    assert found == sorted(set(found))
    assert 1 <= found[0] <= found[-1] <= len(agents)


def test_the_most_telling_runs_come_first() -> None:
    assert plan.controllers([12, 16, 20, 25, 30], "aimd") == [
        "off",
        "fixed:16",
        "aimd",
        "fixed:12",
        "fixed:20",
        "fixed:25",
        "fixed:30",
    ]
    assert plan.controllers([1], "forecast") == ["off", "fixed:1", "aimd", "forecast"]


def test_rows_are_taken_as_they_are_if_their_agents_fit(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    rows = [row(500, 9), row(90_000, 9), row(500, 2), row(700, 10), row(800, 8)]
    trace.write_text("\n".join(rows) + "\n")
    chosen = plan.select(trace, 2, token_scale=0.5, time_scale=0.1, context_tokens=40_960, calls=(8, 16))
    assert chosen.rows == (rows[0], rows[3])
    assert [one.prompt_tokens for one in chosen.agents] == [250, 350]
    assert chosen.agents[0].tool_seconds[0] == pytest.approx(0.1)
    assert chosen.left_out == 2


def test_a_trace_without_a_fitting_agent_is_told(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    trace.write_text(row(90_000, 9) + "\n")
    with pytest.raises(ValueError, match="--token-scale"):
        plan.select(trace, 2, token_scale=1.0, time_scale=1.0, context_tokens=40_960)


def test_the_plan_is_told_in_figures(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    trace.write_text("\n".join([row(4000, 9)] * 8))
    chosen = plan.select(trace, 8, token_scale=1.0, time_scale=1.0, context_tokens=40_960)
    pool = plan.pool_tokens(chosen.agents, 3.0)
    told = plan.described(chosen, pool, 3.0)
    assert told["agents"] == 8
    assert told["model_calls"] == 72
    assert told["overflow"] == pytest.approx(3.0, abs=0.01)
    assert told["windows"] == plan.windows(chosen.agents, pool)
    json.dumps(told)
