"""The law that knows the future, against sums by hand."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "bench"))
from control_ceiling import Known

from concur_batch.control.base import AgentView
from concur_batch.control.kinds import Kinds
from concur_batch.control.projection import Crowd
from concur_batch.sim.workload import AgentTrace

SHORT = AgentTrace(shared_tokens=100, prompt_tokens=300, outputs=(10, 20), observations=(50,), tool_seconds=(1.0,))  # 210, 280
LONG = AgentTrace(
    shared_tokens=100, prompt_tokens=200, outputs=(10,) * 4, observations=(90,) * 3, tool_seconds=(1.0,) * 3
)  # 110, 210, 310, 410


def agent(number, steps=0):
    return AgentView(rollout=f"agent-{number:05d}#0", order=number, steps=steps)


@pytest.mark.parametrize(
    ("steps", "peak"),
    [
        ((0, 0), 100 + 280 + 210),  # both in their second call
        ((0, 2), 100 + 280 + 410),
        ((1, 0), 100 + 410),  # the short one has ended by then
        ((2, 4), 100 + 280 + 410),  # at its end an agent is what it is
    ],
)
def test_the_peak_is_that_of_the_contexts_to_come(steps, peak):
    crowd = Crowd([agent(0, steps[0]), agent(1, steps[1])])
    assert Known([SHORT, LONG]).peak_tokens([crowd], Kinds(), 1000.0) == peak


def test_who_is_away_counts_for_a_part_and_nobody_for_nothing():
    known = Known([SHORT, LONG])
    assert known.peak_tokens([Crowd([agent(1)], 0.5, 0.5)], Kinds(), 0.0) == 100 + 205
    assert known.peak_tokens([], Kinds(), 0.0) == 0
