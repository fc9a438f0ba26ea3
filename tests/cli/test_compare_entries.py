"""What a comparison has to run, what a sweep makes of it, and what is said of one that was not run to the end."""

import pytest

from concur_batch.cli.trial.covered import covered
from concur_batch.cli.trial.entries import Entries, Run
from concur_batch.results.means import under_the_same_seeds


def test_the_best_window_is_one_under_which_agents_come_to_an_end():
    entries = Entries(["fixed:auto"], [0], 8)
    while wanted := entries.wanted():
        for run in wanted:
            ended = {"timeout": 6, "max_steps": 2} if run.controller == "off" else {"context_length": 1, "completed": 7}
            figures = {"makespan_s": 300.0 if run.controller == "off" else 900.0, "statuses": ended}
            entries.came(run, figures)
    (found,) = entries.figures()
    assert Run("off", 0) in entries.done
    assert found["window"] is not None
    assert found["statuses"] == {"context_length": 1, "completed": 7}


@pytest.mark.parametrize(
    ("done", "told"),
    [
        ("off 0 1 2, aimd 0 1 2", []),
        ("off 0 1 2, aimd 0 1", ["every row is over seeds 0..1; left out: off under seed 2"]),
        ("off 0 1 2, aimd 0 2", ["every row is over seeds 0, 2; left out: off under seed 1"]),
        ("off 0 1, aimd 0 1", ["every row is over seeds 0..1"]),
        ("off 0", ["not run to the end: aimd", "every row is over seed 0"]),
        (
            "off 0, aimd 1 2",
            ["the rows are not of the same agents, so they cannot be compared: off over seed 0, aimd over seeds 1..2"],
        ),
    ],
)
def test_of_one_that_was_not_run_to_the_end_it_is_said_which_seeds_it_is_over(done, told):
    entries = Entries(["off", "aimd"], range(3), 8)
    for controller, *seeds in map(str.split, done.split(",")):
        for seed in map(int, seeds):
            entries.came(Run(controller, seed), {"controller": controller, "seed": seed})
    assert list(covered(entries, under_the_same_seeds(entries.figures()))) == told


def test_of_one_seed_it_is_said_who_is_missing_and_no_more():
    entries = Entries(["off", "aimd"], [5], 8)
    entries.came(Run("off", 5), {"controller": "off", "seed": 5})
    assert list(covered(entries, entries.figures())) == ["not run to the end: aimd"]
