"""Short batches beside no control."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "bench"))
from control_short import Found, cases, summary
from control_suite import run


def test_every_combination_once():
    found = cases()
    assert len({(case.profile, case.name) for case in found}) == len(found) == 80
    assert max(case.agents for case in found) == 128


def test_a_summary_has_mean_and_least_of_those_that_fit():
    found = [Found(cases()[0], 100.0, other_s, missed) for other_s, missed in ((100.0, 0.0), (125.0, 0.01), (50.0, 0.4))]
    assert summary(found, fits=True) == (2, "0.894", "0.800")
    assert summary(found, fits=False) == (1, "2.000", "2.000")
    assert summary(found[:2], fits=False) == ("", "", "")


@pytest.mark.parametrize(("limited", "least"), [(False, 0.9), (True, 0.99)])
def test_a_limit_on_steps_keeps_a_batch_of_few_steps_from_waiting(limited, least):
    case = next(case for case in cases() if case.name == "128 x 2-4, tools 8 s")
    off, found = (run(case, name, 0, {}, limited=limited)["makespan_s"] for name in ("off", "forecast"))
    assert least <= off / found < 1.02
