"""What a comparison has to run, and what a sweep makes of it."""

from concur_batch.cli.trial.entries import Entries, Run


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
