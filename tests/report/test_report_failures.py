from journals import start
from report_runs import end, failed

from concur_batch import records as r
from concur_batch.report.failures import EXAMPLES, Failures


def test_failures_by_class_with_examples_that_differ():
    failures = Failures()
    for i in range(20):
        failures.finished(failed(f"a{i}#0", 5.0, "the same" if i < 10 else f"another {i}"), 5.0)
    failures.finished(failed("b#0", 5.0, "gone", "engine"), 5.0)
    failures.finished(end("c#0", 5.0), 5.0)
    tool, engine = failures.view()["classes"]
    assert (tool["class"], tool["count"], engine["class"], engine["count"]) == ("tool", 20, "engine", 1)
    assert len({one["message"] for one in tool["examples"]}) == EXAMPLES


def test_a_message_that_begins_with_its_rollout_is_no_other_than_that_of_the_next():
    failures = Failures()
    for i in range(3):
        failures.finished(failed(f"a{i}#0", 5.0, f"a{i}#0: no turn"), 5.0)
    (example,) = failures.view()["classes"][0]["examples"]
    assert (example["rollout"], example["message"]) == ("a0#0", "no turn")


def test_another_attempt_takes_a_failure_back_but_being_taken_up_does_not():
    failures = Failures()
    failures.finished(failed("a#0", 5.0), 5.0)
    failures.started(start("a#0", resumed=True), 6.0)
    assert failures.counts() == {"tool": 1}
    failures.started(start("a#0", attempt=2), 6.0)
    assert failures.view()["classes"] == []


def test_calls_that_raised_into_an_agent_are_counted():
    failures = Failures()
    failures.call_failed(
        r.CallFailed(t=1, rollout="a#0", engine="e", step=1, n=1, hash="h", error="EngineFailed", message="500"), 1.0
    )
    assert failures.view()["calls"] == [{"error": "EngineFailed", "count": 1}]
