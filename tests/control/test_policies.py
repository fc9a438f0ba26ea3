"""Names on the command line."""

from pathlib import Path

import pytest

from concur_batch.control.aimd import AimdParameters
from concur_batch.control.base import UNLIMITED, Sample
from concur_batch.control.forecast_parameters import ForecastParameters
from concur_batch.control.policies import make_policy
from concur_batch.errors import InputError


def test_off_never_limits():
    policy = make_policy("off", {}, 1024)
    assert policy.controller.update(Sample(engine="e", time=1.0)).agents == UNLIMITED


def test_fixed_holds_its_number():
    policy = make_policy("fixed:64", {"pause": "oldest"}, 1024)
    assert policy.controller.first.agents == policy.controller.update(Sample(engine="e", time=1.0)).agents == 64
    assert policy.admission.pause == "oldest"


def test_aimd_takes_parameters():
    assert make_policy("aimd", {"first": 30}, 1024).controller.first.agents == 30


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("amid", {}, "did you mean aimd"),
        ("fixed", {}, "fixed:64"),
        ("fixed:auto", {}, "is a sweep.*fixed:64"),
        ("fixed:²", {}, "give the number of agents, as in fixed:64"),
        ("requests:" + 5_000 * "9", {}, "give the number of model calls in flight, as in requests:64"),
        ("aimd", {"alhpa": 3}, "did you mean alpha"),
        ("aimd", {"beta": 2}, "controller.beta"),
        ("forecast", {"miss_low": 0.5}, "controller.miss_low: should not be above miss_high, which is 0.1"),
        ("forecast", {"miss_high": 0.01}, "^controller.miss_high: should not be below miss_low, which is 0.02 [(]got 0.01[)]$"),
        ("aimd", {"u_low": 0.9}, "^controller.u_low: should not be above u_high, which is 0.5 [(]got 0.9[)]$"),
        ("aimd", {"u_low": 0.9, "u_high": 0.1}, "controller.u_low: should not be above u_high, which is 0.1"),
        ("aimd", {"u_high": 0.1}, "^controller.u_high: should not be below u_low, which is 0.2 [(]got 0.1[)]$"),
        ("aimd", {"floor": 9, "ceiling": 3}, "^controller.floor: should not be above ceiling, which is 3 [(]got 9[)]$"),
        ("turnover", {"floor": 9, "ceiling": 3}, "^controller.floor: should not be above ceiling, which is 3 [(]got 9[)]$"),
        ("aimd", {"fill": 0.9}, "controller.fill: aimd has no such parameter; forecast has it"),
        ("aimd", {"zzz": 1}, "aimd has no such parameter; it has .*alpha.*pause, back"),
        ("off", {"alpha": 3}, "controller.alpha: off has no parameters but pause and back; aimd has it"),
        ("off", {"fallback": 3}, "aimd and forecast and accounting and turnover have it"),
        ("aimd", {"pause": "tallest"}, "newest"),
    ],
)
def test_what_is_wrong_is_told_with_the_mend(name, parameters, words):
    with pytest.raises(InputError, match=words):
        make_policy(name, parameters, 1024)


@pytest.mark.parametrize("name", ["aimd", "turnover"])
@pytest.mark.parametrize("given", [{}, {"first": 9}])
def test_the_first_limit_is_no_higher_than_the_ceiling(name, given):
    assert make_policy(name, {**given, "ceiling": 1}, 1024).controller.first.agents == 1


@pytest.mark.parametrize(("name", "model"), [("forecast", ForecastParameters), ("aimd", AimdParameters)])
def test_each_parameter_has_a_line_for_users(name, model):
    page = (Path(__file__).parents[2] / "docs" / "running.md").read_text()
    table = page.partition(f"Those of `{name}`")[2].partition("\n\nThose of")[0]
    assert [key for key in model.model_fields if f"`{key}`" not in table] == []
