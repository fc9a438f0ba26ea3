"""What `[sampling]` takes, and what of it is sent."""

import re

import pytest

from concur_batch.agent.react import react
from concur_batch.agent.replay import History
from concur_batch.cli.parts import defaults
from concur_batch.config import from_saved, resolve, to_json
from concur_batch.errors import InputError
from concur_batch.plan import Retry, plan
from concur_batch.task import Task
from concur_batch.toolbox.recorded import RecordedTools


def made(folder, sets=(), file="", env=None):
    (folder / "c.toml").write_text(file)
    return resolve({}, sets, folder / "c.toml", env or {})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("temperature=nan", "temperature must be a number, not 'nan'"),
        ("temperature=hot", "temperature must be a number, not 'hot'"),
        ("temperature=-1", "temperature must be at least 0"),
        ("top_p=1.5", "top_p must be at most 1"),
        ("max_tokens=0", "max_tokens must be at least 1"),
        ("max_completion_tokens=9.5", "max_completion_tokens must be a whole number, not 9.5"),
        ("seed=true", "seed must be a whole number, not True"),
        ("extra_body={top_p='x'}", "extra_body.top_p must be a number, not 'x'"),
    ],
)
def test_what_a_row_may_not_have_is_refused(given, said, tmp_path):
    key = given.partition("=")[0]
    with pytest.raises(InputError, match=f"--set sampling.{key}: sampling.{re.escape(said)}"):
        made(tmp_path, [f"sampling.{given}"])


def test_also_in_files_and_variables(tmp_path):
    with pytest.raises(InputError, match=r"c\.toml: sampling\.temperature must be a number, not 'hot'"):
        made(tmp_path, file="[sampling]\ntemperature = 'hot'\n")
    with pytest.raises(InputError, match=r"environment CONCUR_SAMPLING_TOP_P: sampling\.top_p must be at most 1"):
        made(tmp_path, env={"CONCUR_SAMPLING_TOP_P": "2"})


def test_a_run_goes_on_with_what_it_was_begun_with():
    saved = to_json(resolve({}, (), None, {})) | {"sampling": {"temperature": "hot"}}
    assert from_saved(saved, cli={}, env={}).sampling == {"temperature": "hot"}


@pytest.mark.parametrize("none", ["", "none", "None", "null"])
def test_what_is_none_of_sampling_is_not_sent(none, tmp_path):
    file = "[sampling]\ntemperature = 0.2\ntop_p = 0.5\n[sampling.extra_body]\nseed = 1\ntop_k = 4\n"
    sets = [f"sampling.temperature={none}", f"sampling.extra_body.seed={none}", "sampling.stop='none'"]
    config = made(tmp_path, sets, file)
    assert defaults(config).sampling == {"top_p": 0.5, "top_k": 4, "stop": "none"}
    whole = made(tmp_path, [f"sampling.extra_body={none}"], file)
    assert defaults(whole).sampling == {"temperature": 0.2, "top_p": 0.5}


@pytest.mark.parametrize("none", ["", "null"])
def test_what_an_engine_may_call_none_is_sent(none, tmp_path):
    file = "[sampling]\ntool_choice = 'auto'\nstop = 'x'\n[sampling.extra_body]\nmin_p = 0.1\n"
    sets = ["sampling.tool_choice=none", "sampling.extra_body.reasoning_effort=none"]
    sets += [f"sampling.stop={none}", f"sampling.extra_body.min_p={none}"]
    assert defaults(made(tmp_path, sets, file)).sampling == {"tool_choice": "none", "reasoning_effort": "none"}


def test_a_whole_number_may_be_written_as_a_float_as_in_rows(tmp_path):
    sets = ["sampling.max_tokens=1e3", "sampling.extra_body.max_completion_tokens=20.0"]
    config = made(tmp_path, sets, "[sampling]\nseed = 1.0\ntemperature = 1\n")
    assert str(config.sampling["max_tokens"]) == "1000"
    assert str(config.run.seed) == "1"
    assert str(config.sampling["extra_body"]["max_completion_tokens"]) == "20"


def seeds(config):
    """Of two rollouts of a task without a seed and two of one with it: as recorded, and as sent."""
    job = [Task(id=f"t{i}", index=i, source="", messages=(), seed=seed) for i, seed in enumerate([None, 77])]
    rollouts = plan(job, defaults(config), RecordedTools(), lambda _: react, History(), Retry())
    return [(rollout.setting.seed, rollout.setting.sampling["seed"]) for rollout in rollouts]


@pytest.mark.parametrize(
    ("sets", "file", "env"),
    [
        (["sampling.seed=9"], "", {}),
        (["sampling.extra_body.seed=9"], "[sampling]\nseed = 1\nextra_body = { top_k = 20 }\n", {}),
        ([], "[sampling]\nseed = 9\n", {}),
        ([], "", {"CONCUR_SAMPLING_EXTRA_BODY": '{"seed": 9}'}),
        ([], "", {"CONCUR_SAMPLING_SEED": "9"}),
    ],
)
def test_a_seed_is_the_runs_as_a_rows_is_its_tasks(sets, file, env, tmp_path):
    config = made(tmp_path, ["run.n=2", *sets], file, env)
    assert seeds(config) == [(9, 9), (10, 10), (77, 77), (78, 78)]
    assert seeds(from_saved(to_json(config), cli={}, env={})) == seeds(config)


def test_it_is_given_once_in_one_place(tmp_path):
    said = (
        r"^run\.seed \(--set run\.seed\) and sampling\.seed \(--set sampling\.seed\) are one and the same; give one of the two\.$"
    )
    with pytest.raises(InputError, match=said):
        made(tmp_path, ["sampling.seed=9", "run.seed=5"])
    with pytest.raises(InputError, match=r"c\.toml\) are one and the same"):
        made(tmp_path, file="[run]\nseed = 1\n[sampling]\nseed = 1\n")


@pytest.mark.parametrize(
    ("sets", "file", "env", "seed"),
    [
        (["run.seed=5"], "[sampling]\nseed = 9\n", {}, 5),
        (["sampling.seed=9"], "[run]\nseed = 5\n", {"CONCUR_RUN_SEED": "6"}, 9),
        ([], "[sampling.extra_body]\nseed = 9\n", {"CONCUR_RUN_SEED": "5"}, 5),
        (["sampling.seed=none"], "[sampling]\nseed = 9\n", {}, 0),
        (["sampling.seed=none"], "[run]\nseed = 9\n", {}, 9),
        (["sampling.extra_body=none"], "[sampling.extra_body]\nseed = 9\n", {}, 0),
        (["sampling.extra_body={}"], "[sampling.extra_body]\nseed = 9\n", {}, 0),
        (["sampling.extra_body=none"], "[sampling]\nseed = 9\n", {}, 9),
        (["sampling.seed=0"], "[sampling]\nseed = 9\n", {}, 0),
    ],
)
def test_of_several_places_the_later_counts(sets, file, env, seed, tmp_path):
    config = made(tmp_path, sets, file, env)
    assert (config.run.seed, config.sampling.get("seed")) == (seed, None)


def test_a_run_that_was_begun_with_one_for_all_calls_goes_on_with_it():
    saved = to_json(resolve({}, ["run.n=2"], None, {})) | {"sampling": {"seed": 9}}
    assert seeds(from_saved(saved, cli={}, env={})) == [(0, 9), (1, 9), (77, 9), (78, 9)]
