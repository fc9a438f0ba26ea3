"""Workloads drawn at random: each number is one, and it can be generated."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "bench"))
from control_drawn import drawn, drawn_small
from control_suite import agents_of

from concur_batch.sim.workload import WorkloadParameters


def test_each_number_is_one_workload_that_can_be_generated():
    cases = [drawn(number) for number in range(200)]
    assert cases == [drawn(number) for number in range(200)]
    for case in cases:
        assert WorkloadParameters(agents=case.agents, **case.workload).most_steps >= case.workload["least_steps"]
        assert 24 <= case.agents <= 600
    assert {case.siblings for case in cases} == {1, 8}
    assert len({case.profile for case in cases}) == 6


def test_siblings_have_first_prompts_of_one_length():
    case = next(case for case in map(drawn, range(100)) if case.siblings == 8)
    agents = agents_of(case, 0)
    assert all(agent.prompt_tokens == agents[i - i % 8].prompt_tokens for i, agent in enumerate(agents))
    assert len({agent.prompt_tokens for agent in agents}) > 1


def test_small_pools_hold_what_is_drawn_for_them():
    cases = [drawn_small(number) for number in range(200)]
    assert cases == [drawn_small(number) for number in range(200)]
    for case in cases:
        parameters = WorkloadParameters(agents=case.agents, **case.workload)
        assert 12_000 <= case.pool <= 65_000
        assert parameters.shared_tokens + parameters.most_private_tokens < case.pool
        assert 16 <= case.agents <= 400
    assert {Path(case.profile).stem for case in cases} == {"qwen3-8b@h100x1", "small_server"}
