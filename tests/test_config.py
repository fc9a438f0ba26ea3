import json
from dataclasses import asdict
from pathlib import Path

import pytest

from concur_batch.config import resolve
from concur_batch.config.keys import KEYS
from concur_batch.config.model import SECTIONS
from concur_batch.config.resolve import SHORT
from concur_batch.errors import InputError
from concur_batch.toolbox.limits import ToolLimits

PAGE = Path(__file__).parent.parent / "docs" / "configuration.md"


def made(cli=None, sets=(), file=None, env=None, folder=None):
    path = None
    if file is not None:
        path = folder / "concur.toml"
        path.write_text(file, encoding="utf-8")
    return resolve(cli or {}, sets, path, env or {})


def refusal(**what):
    with pytest.raises(InputError) as caught:
        made(**what)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_defaults():
    config = made()
    assert config.engine.urls == ["sim"]
    assert config.run.max_agents == 1024
    assert config.limits.for_task().max_steps == 50
    assert config.controller.name == "forecast"
    assert config.engine.api_key.get_secret_value() == "EMPTY"
    assert config.sources == {}


def test_each_layer_wins_over_the_one_below(tmp_path):
    file = "[run]\nmax_agents = 1\nn = 1\nseed = 1\n"
    env = {"CONCUR_MAX_AGENTS": "2", "CONCUR_RUN_SEED": "2"}
    config = made(cli={"run.seed": 3, "run.n": None}, file=file, env=env, folder=tmp_path)
    assert (config.run.n, config.run.max_agents, config.run.seed) == (1, 2, 3)
    assert config.sources == {
        "run.n": f"file {tmp_path / 'concur.toml'}",
        "run.max_agents": "environment CONCUR_MAX_AGENTS",
        "run.seed": "option --seed",
    }


def test_set_gives_any_key_and_free_tables_merge_by_leaf(tmp_path):
    config = made(
        sets=[
            "limits.timeout_s=2.5",
            "limits.max_steps=none",
            "sampling.extra_body.top_k=4",
            "controller.alpha=4",
            "run.live=no",
        ],
        file='[sampling]\ntemperature = 0.2\n[sampling.extra_body]\nmin_p = 0.1\n[controller]\nname = "fixed:64"\nalpha = 2\n',
        env={"CONCUR_SAMPLING_STOP": '["a", "b"]'},
        folder=tmp_path,
    )
    assert config.limits.timeout_s == 2.5
    assert config.limits.max_steps is None
    assert config.run.live is False
    assert config.sampling == {"temperature": 0.2, "extra_body": {"min_p": 0.1, "top_k": 4}, "stop": ["a", "b"]}
    assert (config.controller.name, config.controller.parameters) == ("fixed:64", {"alpha": 4})
    assert config.sources["sampling.extra_body.top_k"] == "--set sampling.extra_body.top_k"


def test_none_is_none_for_texts_too():
    keys = ("agent.system", "run.on_exit", "run.filter", "run.fail_on_error", "engine.model")
    config = made(sets=[f"{key}=none" for key in keys], env={"CONCUR_RUN_HISTORY": "None"})
    assert [getattr(getattr(config, key.split(".")[0]), key.split(".")[1]) for key in (*keys, "run.history")] == [None] * 6
    assert made(sets=["agent.system=null"]).agent.system == "null"


def test_another_controller_leaves_behind_the_parameters_beside_the_one_before(tmp_path):
    file = '[controller]\nname = "aimd"\nalpha = 4\n'
    assert made(file=file, folder=tmp_path).controller.parameters == {"alpha": 4}
    assert made(cli={"controller.name": "aimd"}, file=file, folder=tmp_path).controller.parameters == {"alpha": 4}
    other = made(cli={"controller.name": "off"}, sets=["controller.pause=oldest"], file=file, folder=tmp_path)
    assert (other.controller.name, other.controller.parameters) == ("off", {"pause": "oldest"})
    assert "controller.alpha" not in other.sources
    alone = made(cli={"controller.name": "off"}, file="[controller]\nalpha = 4\n", folder=tmp_path)
    assert alone.controller.parameters == {"alpha": 4}  # meant for whichever: refused where it does not fit
    windows = made(cli={"controller.name": "fixed:8"}, file='[controller]\nname = "fixed:4"\nback = "newest"\n', folder=tmp_path)
    assert windows.controller.parameters == {"back": "newest"}


def test_the_file_may_be_named_by_a_variable_and_begin_with_a_mark(tmp_path):
    (tmp_path / "c.toml").write_text("\ufeff[limits]\nmax_turns = 7\n", encoding="utf-8")
    assert resolve({}, (), None, {"CONCUR_CONFIG": str(tmp_path / "c.toml")}).limits.max_steps == 7


def test_engines_and_keys_from_other_programs_variables(tmp_path):
    env = {"SGLANG_BASE_URL": "http://a:1", "OPENAI_API_KEY": "o", "OPENAI_BASE_URL": "https://paid.example"}
    config = made(env=env)
    assert config.engine.urls == ["http://a:1"]
    assert config.engine.api_key.get_secret_value() == "o"
    assert made(env=env | {"SGLANG_API_KEY": "s"}).engine.api_key.get_secret_value() == "s"
    assert made(env={"OPENAI_BASE_URL": "https://paid.example"}).engine.urls == ["sim"]
    assert made(env=env, file='[engine]\nurls = ["http://b:1"]\n', folder=tmp_path).engine.urls == ["http://b:1"]
    assert made(env=env | {"CONCUR_ENGINE": "http://c:1,http://d:1"}).engine.urls == ["http://c:1", "http://d:1"]
    assert made(cli={"engine.urls": ("http://e:1",)}, env=env).sources["engine.urls"] == "option --engine"


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ("run.max_agent=3", "did you mean run.max_agents?"),
        ("run.model=x", "did you mean engine.model?"),
        ("max_agents=3", "did you mean run.max_agents?"),
        ("limit.max_turn=3", "did you mean limits.max_turns?"),
        ("run.foo=3", "[run] has out, max_agents"),
        ("run.zzzz=3", "[run] has out, max_agents"),
        ("zzzz.q=3", "the sections are run, engine"),
        ("engine=http://a:1", "it is a section, give one of its keys: engine.urls"),
        ("", "--set '': must be key=value"),
        ("run.max_agents", "must be key=value"),
        ("run.max_agents=many", "run.max_agents must be a whole number, not 'many'"),
        ("run.max_agents=0", "run.max_agents must be at least 1, not '0'"),
        ("run.n=9223372036854775807", "run.n must be at most 1,000,000, not '9223372036854775807'"),
        ("run.max_agents=9007199254740993", "run.max_agents must be at most 9,007,199,254,740,992"),
        ("tools.memory_mb=9007199254740992", "tools.memory_mb must be at most 1,073,741,824"),
        (f"run.seed={'9' * 5000}", f"run.seed must be a whole number of fewer digits, not '{'9' * 78}…"),
        (f"run.fail_on_error={'9' * 5000}", "a count such as 3"),
        (f"sampling.seed={'9' * 5000}", "sampling.seed holds a number of more than 4,300 digits; write it as text"),
        (f"sampling.seed=0x{'f' * 5000}", "sampling.seed holds a number of more than 4,300 digits; write it as text"),
        (f"sampling.stop={'[' * 5000}", "sampling.stop is nested too deeply to be read"),
        ("run.output_format=csv", "run.output_format must be 'parquet', 'jsonl' or 'openai', not 'csv'"),
        ("run.filter=(", "regular expression"),
        ("run.fail_on_error=150%", "a share such as 5%"),
        ("run.fail_on_error=-1", "a count such as 3"),
        ("engine.urls=localhost:30000", "http://localhost:30000"),
        ("engine.urls=ftp://me:pw@host", "ftp://***@host"),
        ("engine.urls=http://a:1,http://a:1", "more than once"),
        ("engine.urls=sim,sim", "names sim more than once"),
        ("engine.urls=sim:a@b,sim:a@b", "names sim:a@b more than once"),
        ("engine.poll_s=inf", "a finite number"),
        ("engine.poll_s=1e-9", "engine.poll_s must be at least 0.01, not '1e-9'"),
        ("sim.host_gb_per_s=1e-300", "sim.host_gb_per_s must be at least 0.001"),
        ("sim.host_tier=1e305", "sim.host_tier must be at most 1,000"),
        ("sampling.messages=[]", "they come from the job file"),
        ("sampling.n=3", "set run.n"),
        ("sampling.extra_body={messages=[]}", "sampling.extra_body.messages cannot be set here; they come from the job file"),
        ("sampling.extra_body=5", "sampling.extra_body must be a table, not 5"),
        ("sampling.min_p=nan", None),
    ],
)
def test_refusals_on_the_command_line(sets, said):
    if said is None:
        assert made(sets=[sets]).sampling == {"min_p": "nan"}
        return
    text = refusal(sets=[sets])
    assert text.startswith("--set ")
    assert said in text
    assert "me:pw" not in text


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("[run]\nmax_agents = '3'\n", "run.max_agents must be a whole number, not '3'"),
        ("[run]\nmax_agents = true\n", "run.max_agents must be a whole number, not True"),
        ("[run]\nlive = 1\n", "run.live must be true or false, not 1"),
        ("[engine]\nurls = 'http://u:p@a:1'\n", "engine.urls must be a list of texts, not 'http://***@a:1'"),
        ("[engine]\nurls = []\n", "engine.urls must be a list of at least one"),
        ("[engine]\napi_key = 5\n", "engine.api_key must be text."),
        ("[agents]\nname = 'x'\n", "did you mean agent.name?"),
        ("run = 3\n", "run must be a table, [run]"),
        ("n = 3\n", "did you mean run.n?"),
        ("[limits]\nmax_steps = 3\nmax_turns = 4\n", "(of which limits.max_turns is another name) is given twice"),
        ("[sampling]\nuntil = 2024-01-01\n", "sampling.until must be text, a number"),
        ("[run\n", "is not valid TOML"),
        (f"[sim]\npool_tokens = 0x{'f' * 5000}\n", "concur.toml: holds a number of more than 4,300 digits; write it as text"),
        (f"[run]\nseed = {'9' * 5000}\n", "concur.toml: holds a number of more than 4,300 digits; write it as text"),
    ],
)
def test_refusals_in_the_file(file, said, tmp_path):
    text = refusal(file=file, folder=tmp_path)
    assert said in text
    assert "concur.toml" in text


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="no such configuration file"):
        resolve({}, (), tmp_path / "none.toml", {})
    with pytest.raises(InputError, match="cannot be read"):
        resolve({}, (), tmp_path, {})
    (tmp_path / "latin.toml").write_bytes(b"# \xff\n")
    with pytest.raises(InputError, match="not UTF-8"):
        resolve({}, (), tmp_path / "latin.toml", {})


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"CONCUR_MAXAGENTS": "3"}, "environment CONCUR_MAXAGENTS: unknown variable; did you mean CONCUR_MAX_AGENTS?"),
        ({"CONCUR_RUN_ZZZZ": "3"}, "environment CONCUR_RUN_ZZZZ: unknown key run.zzzz"),
        ({"CONCUR_MAX_AGENTS": "x"}, "environment CONCUR_MAX_AGENTS: run.max_agents must be a whole number"),
        ({"CONCUR_MODEL": "a", "CONCUR_ENGINE_MODEL": "b"}, "by environment CONCUR_ENGINE_MODEL and environment CONCUR_MODEL"),
    ],
)
def test_refusals_in_the_environment(env, said):
    assert said in refusal(env=env)


def test_the_scheme_of_an_engine_may_be_written_in_capitals():
    assert made(sets=["engine.urls=HTTP://127.0.0.1:1,https://b/v1"]).engine.urls == ["http://127.0.0.1:1", "https://b/v1"]
    assert "names http://a:1 more than once" in refusal(sets=["engine.urls=HTTP://a:1,http://a:1"])


def test_empty_and_foreign_variables_are_left_alone():
    assert made(env={"CONCUR_MODEL": "", "CONCUR_ROLLOUT_FOLDER": "x", "HOME": "/"}).sources == {}


def test_one_key_by_option_and_set_is_refused():
    assert "by option --n/-n and --set run.n" in refusal(cli={"run.n": 2}, sets=["run.n=3"])


@pytest.mark.parametrize(
    ("allowed", "failed", "fine"),
    [(None, 0, True), (None, 1, False), ("3", 3, True), ("3", 4, False), ("5%", 5, True), ("5%", 6, False)],
)
def test_failure_allowance(allowed, failed, fine):
    assert made(cli={"run.fail_on_error": allowed}).run.allows(failed, 100) is fine


def test_tool_bounds_are_by_default_those_of_the_toolbox():
    ours, theirs = made().tools.model_dump(), asdict(ToolLimits())
    ours["readable"] = tuple(ours["readable"])
    renamed = {"memory_mb": "memory_mib", "output_mb": "output_mib"}
    assert {renamed.get(k, k): v for k, v in ours.items() if k != "sources"}.items() <= theirs.items()


def rows():
    """The lines that the page must carry, from the models."""
    short = {path: name for name, path in SHORT.items()}
    for section, model in SECTIONS.items():
        for key, field in model.model_fields.items():
            default = "EMPTY" if key == "api_key" else json.dumps(field.default).replace("null", "none").strip('"')
            variable = short.get((section, key), f"CONCUR_{section}_{key}".upper())
            yield f"| `{section}.{key}` | `{default}` | `{variable}` | {field.description} |"


@pytest.mark.parametrize("row", list(rows()))
def test_the_page_lists_every_key(row):
    assert row in PAGE.read_text(encoding="utf-8").splitlines()


def test_the_page_lists_no_other_key():
    listed = {
        line.split("`")[1]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `") and "." in line.split("`")[1]
    }
    assert listed == {".".join(path) for path in KEYS}


def test_variables_of_single_commands_are_no_keys():
    assert made(env={"CONCUR_SIM_API_KEY": "secret"}).sim == made().sim
