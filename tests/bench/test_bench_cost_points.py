"""The cost model stays as near to the measurements as docs/cost-model.md says."""

import statistics
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "bench"))
import cost_points

BOUNDS = {  # median, worst
    "decode kernels": (0.03, 0.13),
    "prefill kernels, 2048": (0.05, 0.22),
    "prefill kernels, 8192": (0.05, 0.25),
    "engines, per output token": (0.07, 0.11),
}


@pytest.mark.parametrize("group", BOUNDS)
def test_errors_stay_within_the_stated_bounds(group: str) -> None:
    errors = [abs(point.error) for point in cost_points.points() if point.group == group]
    median, worst = BOUNDS[group]
    assert statistics.median(errors) <= median
    assert max(errors) <= worst


def test_all_measurements_are_compared() -> None:
    assert len(cost_points.points()) == 33 + 20 + 3
    assert {point.group for point in cost_points.points()} == set(BOUNDS)
