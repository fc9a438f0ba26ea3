import json
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from concur_batch import records as r
from concur_batch.config import Config
from concur_batch.state import RunState, fold
from concur_batch.status import MAX_ATTEMPTS, render_status, status_dict

RUN = Path("runs/first")
ENGINE = "http://127.0.0.1:30000"


@dataclass(frozen=True)
class Process:
    host: str = "node1"
    pid: int = 4711
    alive: bool | None = True
    taken: float = 0.0


def rollout(task, *after, index=0):
    name = f"{task}#0"
    return [r.RolloutStarted(t=1.0, rollout=name, engine=ENGINE, task=task, k=0, index=index, seed=0), *after]


def end(task, status="completed", **fields):
    return r.RolloutFinished(t=4.0, rollout=f"{task}#0", engine=ENGINE, status=status, **fields)


REFUSED = r.ErrorInfo(error_class="engine", message="the model\nwas refused")
STORY = [
    r.SegmentStarted(t=0.0, epoch=1.7e9, host="node1", pid=4711, version="0"),
    r.BatchLoaded(t=0.0, tasks=9, rollouts=9),
    r.EngineSeen(t=0.0, engine=ENGINE, engine_kind="sglang", policy="aimd"),
    *rollout("a", end("a")),
    *rollout("b", end("b", "max_steps")),
    *rollout("c", end("c", "error", error=REFUSED)),
    *rollout("d"),
    *rollout("e", r.RolloutPaused(t=3.0, rollout="e#0", engine=ENGINE, step=1, reason="limit")),
    r.ReplyReceived(
        t=4.0, rollout="d#0", engine=ENGINE, step=1, n=1, hash="h", base=1, new=[], message={"role": "assistant"}, finish_reason="stop",
        prompt_tokens=100, completion_tokens=8, cached_tokens=50, history_tokens=40, missed_tokens=10,
    ),
    r.Sampled(t=4.0, engine=ENGINE, locked=0.25, resident=0.5),
    r.Decided(t=4.0, engine=ENGINE, agents=8, reason="grow"),
]  # fmt: skip


def printed(state, holder, run_dir=RUN):
    return words(status_dict(state, run_dir, holder))


def words(status):
    console = Console(width=60, record=True, file=StringIO())
    console.print(render_status(status))
    text = console.export_text()
    assert max(len(line) for line in text.splitlines()) <= 60
    return " ".join(text.split())


def counts(status):
    return {key: status[key] for key in ("finished", "failed", "running", "paused", "waiting")}


def test_beside_a_live_run():
    status = status_dict(fold(STORY), RUN, Process())
    assert counts(status) == {"finished": 2, "failed": 1, "running": 1, "paused": 1, "waiting": 4}
    assert sum(counts(status).values()) == status["rollouts"]
    assert (status["condition"], status["live"], status["next_command"]) == ("running", True, None)
    assert status["holder"] == {"host": "node1", "pid": 4711, "alive": True}
    assert (status["steps_per_s"], status["generated_tokens_per_s"]) == (0.25, 2.0)
    assert (status["hit_rate"], status["miss_rate"]) == (0.5, 0.25)
    assert status["engines"][ENGINE]["window"]["last"] == 8
    assert status["engines"][ENGINE]["locked"] == 0.25
    assert status["newest_error"] == {"rollout": "c#0", "class": "engine", "message": "the model\nwas refused"}
    assert json.loads(json.dumps(status)) == status


def test_beside_a_live_run_in_words():
    text = printed(fold(STORY), Process())
    for part in (
        "runs/first is running",
        "held by process 4711 on node1",
        "finished 2 (completed 1, max_steps 1)",
        "failed 1",
        "paused 1",
        "waiting 4",
        "0.25 steps/s, 2 generated tokens/s",
        "hit rate 50.0 %, miss rate 25.0 %",
        "locked 25.0 %, resident 50.0 %",
        "window 8 (grow)",
        "c#0: engine: the model was refused",
    ):
        assert part in text
    assert "next" not in text


def test_a_killed_run_has_nobody_running_and_names_the_next_command():
    status = status_dict(fold(STORY), RUN, None)
    assert counts(status) == {"finished": 2, "failed": 1, "running": 0, "paused": 2, "waiting": 4}
    assert (status["condition"], status["next_command"]) == ("broke off", "concur resume runs/first")
    text = printed(fold(STORY), None)
    assert "broke off (its process was killed, or could write no more) and can go on" in text
    assert "next concur resume runs/first" in text


@pytest.mark.parametrize("cause", ["drained", "stopped", "engine", "failed"])
def test_an_ended_run_with_work_left_goes_on_by_resume(cause):
    state = fold([*STORY, r.SegmentFinished(t=5.0, cause=cause)])
    assert status_dict(state, RUN, None)["condition"] == cause
    assert "can go on" in printed(state, None)


YIELD = r.RolloutYielded(t=5.0, rollout="d#0", engine=ENGINE, step=1)
PAUSE = r.RolloutPaused(t=6.0, rollout="d#0", engine=ENGINE, step=1, reason="yield")
RETURN = r.RolloutReturned(t=7.0, rollout="d#0", engine=ENGINE, step=1, paused_s=1.0)


@pytest.mark.parametrize(
    ("after", "active", "paused"),
    [
        ([YIELD], 0, 1),
        ([YIELD, PAUSE], 0, 2),
        ([YIELD, PAUSE, RETURN], 1, 1),
        ([YIELD, RETURN], 1, 1),
        ([YIELD, end("d")], 0, 1),
        ([YIELD, STORY[0]], 0, 2),
        ([YIELD, STORY[0], r.RolloutStarted(t=1.0, rollout="d#0", engine=ENGINE, task="d", k=0, index=0, seed=0, resumed=True)], 1, 1),
    ],
)  # fmt: skip
def test_who_has_yielded_its_slot_is_not_active(after, active, paused):
    state = fold([*STORY, *after])
    assert (state.active, state.paused) == (active, paused)
    status = counts(status_dict(state, RUN, Process()))
    assert (status["running"], sum(status.values())) == (active, 9)


def test_what_a_person_has_a_hand_on():
    state = fold([*STORY, r.Steered(t=5.0, held=True, factor=1.21)])
    status = status_dict(state, RUN, Process())
    assert (status["held"], status["limit_factor"]) == (True, 1.21)
    assert "by hand admission held, limit times 1.21" in " ".join(words(status).split())
    left = status_dict(state, RUN, None)
    assert (left["held"], left["limit_factor"]) == (False, 1.0)
    assert "by hand" not in words(status_dict(fold(STORY), RUN, Process()))


def test_a_draining_run_says_so():
    status = status_dict(fold([*STORY, r.DrainStarted(t=5.0, cause="SIGINT")]), RUN, Process())
    assert (status["condition"], status["drain_cause"]) == ("draining", "SIGINT")


@pytest.mark.parametrize(
    "before", [[], STORY, [*STORY, r.DrainStarted(t=5.0, cause="SIGINT"), r.SegmentFinished(t=6.0, cause="drained")]]
)
def test_a_run_is_starting_until_the_process_that_holds_it_has_written(before):
    state, resuming = fold(before), Process(pid=4712)
    status = status_dict(state, RUN, resuming)
    assert (status["condition"], status["drain_cause"], status["running"], status["live"]) == ("starting", None, 0, True)
    assert "runs/first is starting" in printed(state, resuming)
    state.apply(r.SegmentStarted(t=0.0, epoch=1.8e9, host="node1", pid=4712, version="0"))
    assert status_dict(state, RUN, resuming)["condition"] == "running"


def test_a_process_of_the_same_name_and_number_is_another_if_it_took_the_run_later():
    state, resuming = fold([*STORY, r.DrainStarted(t=5.0, cause="SIGINT")]), Process(taken=1.75e9)
    assert status_dict(state, RUN, resuming)["condition"] == "starting"
    state.apply(r.SegmentStarted(t=0.0, epoch=1.8e9, host="node1", pid=4711, version="0"))
    assert status_dict(state, RUN, resuming)["condition"] == "running"


def test_a_drained_run_whose_process_still_writes_its_results_is_not_starting():
    state = fold([*STORY, r.DrainStarted(t=5.0, cause="SIGINT"), r.SegmentFinished(t=6.0, cause="drained")])
    assert status_dict(state, RUN, Process())["condition"] == "draining"


@pytest.mark.parametrize(("error", "command"), [(None, None), (REFUSED, "concur resume 'a b' --retry-failed")])
def test_a_finished_run_offers_its_failures_only(error, command):
    last = end("a", "error" if error else "completed", error=error)
    story = [STORY[0], r.BatchLoaded(t=0.0, tasks=1, rollouts=1), *rollout("a", last), r.SegmentFinished(t=5.0, cause="finished")]
    assert status_dict(fold(story), Path("a b"), None)["next_command"] == command
    assert "1, of 1 task " in printed(fold(story), None)


@pytest.mark.parametrize("error", [None, REFUSED])
def test_a_finished_run_whose_results_were_never_written_is_not_done(error):
    last = end("a", "error" if error else "completed", error=error)
    story = [STORY[0], r.BatchLoaded(t=0.0, tasks=1, rollouts=1), *rollout("a", last), r.SegmentFinished(t=5.0, cause="finished")]
    told = status_dict(fold(story), RUN, None, results_written=False)
    assert (told["condition"], told["results_written"], told["next_command"]) == ("finished", False, "concur resume runs/first")
    assert "results are not written yet" in words(told)
    assert "not written" not in words(status_dict(fold(story), RUN, None))
    assert status_dict(fold(story), RUN, None, results_written=False, resumable=False)["next_command"] is None


@pytest.mark.parametrize(
    ("attempts", "most", "offered"), [((3,), 3, False), ((3,), 4, True), ((3, 2), 3, True), ((1,), 1, False)]
)
def test_failures_that_have_had_their_attempts_are_not_offered(attempts, most, offered):
    story = [STORY[0], r.BatchLoaded(t=0.0, tasks=len(attempts), rollouts=len(attempts))]
    for task, attempt in zip("ab", attempts, strict=False):
        story += rollout(task, end(task, "error", error=REFUSED, attempt=attempt))
    state = fold([*story, r.SegmentFinished(t=5.0, cause="finished")])
    command = status_dict(state, RUN, None, max_attempts=most)["next_command"]
    assert command == ("concur resume runs/first --retry-failed" if offered else None)


def test_an_error_that_is_tried_again_is_no_longer_shown():
    again = [*STORY, *rollout("c")]
    assert status_dict(fold(again), RUN, None)["newest_error"] is None
    assert status_dict(fold([*again, end("c", attempt=2)]), RUN, None)["newest_error"] is None


def test_a_holder_on_another_host_can_be_overridden():
    text = printed(fold(STORY), Process(alive=None))
    assert "which cannot be seen from here" in text
    assert "concur resume runs/first --take-over" in text


def test_an_engine_that_is_away():
    state = fold([*STORY, r.EngineLost(t=5.0, engine=ENGINE, message="connection refused")])
    assert "away (connection refused)" in printed(state, Process())


def test_what_an_engine_answers_is_told_while_calls_are_tried_again():
    where = {"rollout": "d#0", "engine": ENGINE, "step": 2, "n": 2}
    again = r.CallRetried(
        t=5.0, **where, error="EngineBusy", message=f"{ENGINE}: HTTP 503: full", retries=1, retry_s=1.0, pause_s=1.0
    )
    state = fold([*STORY, again])
    status = status_dict(state, RUN, Process())
    assert (status["retries"], status["engines"][ENGINE]["retrying"]) == (1, {"calls": 1, "message": "HTTP 503: full"})
    assert "retrying 1 call: HTTP 503: full" in printed(state, Process())
    assert status_dict(state, RUN, None)["engines"][ENGINE]["retrying"] is None


def test_before_the_first_record():
    status = status_dict(RunState(), RUN, None)
    assert (status["condition"], status["steps_per_s"], status["newest_record_at"]) == ("empty", None, None)
    assert printed(RunState(), None) == "run runs/first has not begun next concur resume runs/first"


def test_what_others_wrote_moves_no_cursor_and_hides_nothing():
    wrote = "\x1b[2J\u202eoops\r\n[red]not[/red]"
    story = [*STORY, *rollout("\x1b[8m", end("\x1b[8m", "error", error=r.ErrorInfo(error_class="agent", message=wrote)))]
    text = printed(fold(story), None)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert r"\x1b[8m#0: agent: \x1b[2J\u202eoops [red]not[/red]" in text


def test_a_message_that_begins_with_its_rollout_names_it_once():
    story = [*rollout("a", end("a", "error", error=r.ErrorInfo(error_class="engine", message="a#0: no turn")))]
    assert "error a#0: engine: no turn" in printed(fold(story), None)


def test_an_engine_that_is_away_is_named_once():
    for said in (f"{ENGINE} broke the connection", f"{ENGINE}: broke the connection"):
        story = [*STORY, r.EngineLost(t=5.0, engine=ENGINE, message=said)]
        assert f"{ENGINE}: away (broke the connection)" in printed(fold(story), None)


def test_a_run_whose_journal_is_lost_has_begun_all_the_same():
    console = Console(width=60, file=StringIO(), record=True)
    console.print(render_status(status_dict(RunState(), RUN, None, has_results=True)))
    lines = console.export_text().splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "run runs/first has lost its journal",
        "results are left: concur results runs/first",
    ]
    told = status_dict(RunState(), RUN, None, has_results=True)
    assert (told["condition"], told["next_command"]) == ("lost", None)
    assert status_dict(fold(STORY), RUN, None, has_results=True)["condition"] == "broke off"


def test_a_simulation_has_no_dates():
    console = Console(width=60, file=StringIO(), record=True)
    state = fold(STORY)
    console.print(render_status(status_dict(state, RUN, None, resumable=False), resumable=False))
    assert "4.0 s, simulated" in console.export_text()


def test_a_run_that_does_not_say_has_the_attempts_of_the_configuration():
    assert Config().run.max_attempts == MAX_ATTEMPTS


def test_the_newest_error_is_told_to_its_end_where_that_says_what_to_do():
    message = f"{'it was so and not otherwise ' * 8}; start this rollout over with --retry-failed=agent"
    error = r.ErrorInfo(error_class="agent", message=message)
    told = printed(fold([*STORY, *rollout("f", end("f", "error", error=error))]), None)
    assert "start this rollout over with --retry-failed=agent" in " ".join(told.split())
