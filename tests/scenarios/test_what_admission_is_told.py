"""What admission knows of an agent before its first call."""

from dataclasses import dataclass, field, replace

import pytest
from stage import Stage, Tools, after, stop, tasks, turns

from concur_batch import records as r
from concur_batch.agent.react import react
from concur_batch.agent.recorded import Replay, Scale
from concur_batch.agent.replay import History
from concur_batch.control.admission import SlotAdmission
from concur_batch.control.fixed import off
from concur_batch.control.policies import Policy
from concur_batch.engine.scripted import ScriptedEngine
from concur_batch.plan import Defaults, Retry, plan
from concur_batch.task import Limits


@pytest.mark.parametrize(
    ("task", "plan_first", "most"),
    [
        ({}, False, None),
        ({"limits": Limits(max_steps=7)}, False, 7),
        ({"tools": ()}, False, 1),
        ({"tools": (), "limits": Limits(max_steps=7)}, True, 2),
    ],
)
def test_admission_is_told_after_how_many_steps_an_agent_ends(task, plan_first, most):
    defaults = Defaults(agent="react", plan_first=plan_first)
    (rollout,) = plan(tasks(1, **task), defaults, Tools(), lambda _: react, History(), Retry())
    assert rollout.view(0).most_steps == most


def test_admission_is_told_how_long_the_first_prompt_is():
    def view(content, **more):
        job = [replace(tasks(1)[0], messages=({"role": "user", "content": content},) if content else ())]
        (rollout,) = plan(job, Defaults(**more), Tools(), lambda _: react, History(), Retry())
        return rollout.view(0).prompt_tokens

    assert view("word" * 1_000) == 1_000  # four characters a token
    assert view("word" * 1_000, system="word" * 500) == 1_500
    assert (
        view([{"type": "image_url", "image_url": {"url": "data:,"}}, {"type": "text", "text": "word" * 10}, "?", {"text": 3}])
        == 10
    )
    assert view("") == 0  # an agent with rows of its own: nobody knows


def test_a_replay_tells_the_length_that_was_recorded():
    row = {
        "input_prompt_length": 900,
        "num_turns": 0,
        "assistant_response_length": [],
        "tool_call_output_length": [],
        "tool_call_latency": [],
        "final_assistant_response_length": 5,
    }
    job = [replace(tasks(1)[0], messages=(), fields=row)]
    (rollout,) = plan(job, Defaults(), Tools(), lambda _: Replay(Scale(tokens=0.5)), History(), Retry())
    assert rollout.view(0).prompt_tokens == 450


@dataclass(frozen=True)
class Listens(SlotAdmission):
    heard: list = field(default_factory=list)

    def replied(self, agent, *, replayed=False):
        self.heard.append((agent.rollout, agent.steps, replayed))


def test_it_is_told_which_replies_a_resumed_run_takes_from_its_journal():
    stage = Stage(ScriptedEngine(turns(*["wait"] * 3), delay_s=2.0), tasks(2))
    heard = []
    for meanwhile in (after(7.0, stop), None):
        listens = Listens()
        stage.policy = Policy("p", off(), listens)
        stage.run(meanwhile)
        heard.append(sorted(listens.heard))
    rollouts = ("t0#0", "t1#0")
    assert heard[0] == [(rollout, step, False) for rollout in rollouts for step in (1, 2)]
    assert heard[1] == [(rollout, step, step <= 2) for rollout in rollouts for step in (1, 2, 3, 4)]


def test_of_a_resumed_agent_it_is_told_the_context():
    stage = Stage(ScriptedEngine(turns("wait", "wait"), delay_s=2.0), tasks(1)).run()
    history = History()
    for record in stage.records:
        if not isinstance(record, r.RolloutFinished):
            history.apply(record)
    (rollout,) = plan(stage.job, Defaults(), Tools(), lambda _: react, history, Retry())
    last = stage.of(r.ReplyReceived)[-1]
    assert rollout.view(0).prompt_tokens == last.prompt_tokens + last.completion_tokens
