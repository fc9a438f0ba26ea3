"""What `[sampling]` takes, and what of it is sent."""

import re

import pytest

from concur_batch.cli.parts import defaults
from concur_batch.config import from_saved, resolve, to_json
from concur_batch.errors import InputError


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
    assert str(config.sampling["seed"]) == "1"
    assert str(config.sampling["extra_body"]["max_completion_tokens"]) == "20"
