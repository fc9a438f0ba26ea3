"""What a run saves of its configuration, without secrets, and what `resume` makes of that."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.config import Config, from_saved, resolve, to_json
from concur_batch.config.saved import was_redacted
from concur_batch.config.secrets import redact
from concur_batch.errors import InputError


def made(cli=None, sets=(), env=None):
    return resolve(cli or {}, sets, None, env or {})


def test_saved_configuration_has_no_secrets_and_keeps_nulls():
    config = made(
        cli={"engine.urls": ["https://me:pw@host/v1?api_key=abc"], "engine.api_key": "sk-1"},
        sets=["sampling.extra_body.auth_token=t0k", "sampling.max_tokens=9", "run.out=runs/x"],
    )
    text = json.dumps(to_json(config))
    assert not any(secret in text for secret in ("sk-1", "me:pw", "t0k", "abc"))
    saved = json.loads(text)
    assert saved["sampling"]["max_tokens"] == 9
    assert saved["run"]["limit"] is None
    assert saved["sources"]["run.out"] == "--set run.out"
    assert "sk-1" not in repr(config)


def test_resume_takes_what_was_saved_and_the_command_line_over_it():
    saved = json.loads(
        json.dumps(to_json(made(sets=["run.n=3", "controller.alpha=4", "sampling.extra_body={}"], env={"CONCUR_MODEL": "m"})))
    )
    again = from_saved(saved, cli={"run.max_agents": 8}, env={"CONCUR_MODEL": "other", "SGLANG_API_KEY": "s"})
    assert (again.run.n, again.run.max_agents, again.engine.model) == (3, 8, "m")
    assert again.controller.parameters == {"alpha": 4}
    assert again.engine.api_key.get_secret_value() == "s"
    assert again.sources["engine.model"] == "environment CONCUR_MODEL"
    assert again.sources["run.max_agents"] == "option --max-agents"
    assert "run.seed" not in again.sources


def test_resume_asks_for_secrets_that_were_not_saved():
    saved = to_json(made(cli={"engine.urls": ["http://u:p@h:1"]}, sets=["sampling.extra_body.token=abc"]))
    with pytest.raises(InputError, match=r"(engine\.urls|sampling\.extra_body\.token) was saved without its secret"):
        from_saved(saved, cli={}, env={})
    again = from_saved(saved, cli={}, sets=["sampling.extra_body.token=abc"], env={"CONCUR_ENGINE": "http://u:p@h:1"})
    assert again.engine.urls == ["http://u:p@h:1"]
    assert again.sampling == {"extra_body": {"token": "abc"}}


@pytest.mark.parametrize(
    ("given", "ways"),
    [
        ("sampling.api_key=abc", "with --set sampling.api_key=... or by CONCUR_SAMPLING_API_KEY=..."),
        ("sampling.apiKey=abc", "with --set sampling.apiKey=..."),  # no variable has a key in capitals
        (
            "sampling.extra_body.api_key=abc",
            """with --set sampling.extra_body.api_key=... or by CONCUR_SAMPLING_EXTRA_BODY='{"api_key": "..."}'""",
        ),
        ('sampling.extra_body={"a.key": "abc"}', """by CONCUR_SAMPLING_EXTRA_BODY='{"a.key": "..."}'"""),
        ("engine.urls=http://abc@h:1", "with --set engine.urls=... or by CONCUR_ENGINE=..."),
        ("agent.system=see http://abc@h", "with --set agent.system=... or by CONCUR_AGENT_SYSTEM=..."),
    ],
)
def test_a_secret_can_be_given_again_in_each_way_that_the_refusal_names(given, ways):
    first = made(sets=[given])
    saved = json.loads(json.dumps(to_json(first)))
    with pytest.raises(InputError) as caught:
        from_saved(saved, cli={}, env={})
    assert str(caught.value).endswith(f" was saved without its secret; give it again, {ways}.")
    value = given.partition("=")[2].removeprefix('{"a.key": "').removesuffix('"}')
    for way in ways.split(" or "):
        key, _, shape = way.removeprefix("with --set ").removeprefix("by ").partition("=")
        filled = shape.strip("'").replace("...", value)
        again = (
            from_saved(saved, cli={}, sets=[f"{key}={filled}"], env={})
            if way.startswith("with")
            else from_saved(saved, cli={}, env={key: filled})
        )
        assert (again.sampling, again.engine, again.agent) == (first.sampling, first.engine, first.agent)


def test_resume_names_all_secrets_that_are_missing():
    saved = to_json(made(sets=["sampling.api_key=a", "sampling.extra_body.token=b"]))
    with pytest.raises(InputError) as caught:
        from_saved(saved, cli={}, env={})
    assert [line.split()[1] for line in str(caught.value).splitlines()] == ["sampling.api_key", "sampling.extra_body.token"]


def test_resume_does_not_look_at_variables_that_it_does_not_use():
    saved = to_json(made(sets=["sampling.api_key=a"]))
    env = {"CONCUR_MAX_AGENTS": "many", "SGLANG_BASE_URL": "nowhere", "CONCUR_SAMPLING_API_KEY": "a"}
    assert from_saved(saved, cli={}, env=env).sampling == {"api_key": "a"}


def test_fields_of_a_reply_are_no_secrets():
    properties = {"password": {"type": "string", "description": "as in http://x/?key=a"}, "key": {"enum": ["a"]}}
    schema = {"type": "object", "properties": properties, "$defs": {"Token": {"type": "string"}}}
    sampling = {
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        "extra_body": {"guided_json": schema},
    }
    saved = json.loads(json.dumps(to_json(Config(sampling=sampling))))
    assert from_saved(saved, cli={}, env={}).sampling == sampling
    assert redact({"api_key": {"json_schema": "x"}}) == {"api_key": {"json_schema": "***"}}


def test_only_a_value_saved_without_its_secret_counts_as_redacted():
    saved = to_json(made(sets=['sampling.extra_body={"token": "abc", "top_k": 4}', "sampling.temperature=1"]))
    assert was_redacted(saved, ("sampling", "extra_body", "token"))
    for path in (
        ("sampling", "extra_body", "top_k"),
        ("sampling", "extra_body"),
        ("sampling", "temperature"),
        ("run", "seed", "x"),
    ):
        assert not was_redacted(saved, path)


def test_resume_refuses_a_key_it_does_not_know():
    saved = to_json(made())
    saved["run"]["max_agentz"] = 3
    with pytest.raises(InputError, match=r"config\.json: unknown key run\.max_agentz; did you mean run\.max_agents\?"):
        from_saved(saved, cli={}, env={})


names = st.text("ab.*é ", min_size=1, max_size=5)
wire = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("ab.*é ", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@given(sampling=st.fixed_dictionaries({}, optional={"stop": wire, "top_p": wire, "extra_body": st.dictionaries(names, wire)}))
def test_what_is_saved_comes_back(sampling):
    config = Config(sampling=sampling)
    saved = json.loads(json.dumps(to_json(config)))
    if "***" not in json.dumps(saved["sampling"]):
        assert from_saved(saved, cli={}, env={}).sampling == sampling


@given(value=wire)
def test_redaction_leaves_everything_else_as_it_was(value):
    assert json.loads(json.dumps(redact({"plain": value}))) is not None
    assert redact({"api_key": "x", "Authorization": ["y"], "max_tokens": 3}) == {
        "api_key": "***",
        "Authorization": ["***"],
        "max_tokens": 3,
    }


SECRETS = (
    "api_key apikey apiKey OPENAI_API_KEY X-Api-Key Authorization accessToken authtoken TOKENs hf.token client_secret clientSecret "
    "passwd db_password credentials bearer Set-Cookie auth private_key max_token_secret my_unknown_key stop_token_idx"
)
NO_SECRETS = (
    "prompt_cache_key promptCacheKey max_tokens maxTokens max_completion_tokens min_new_tokens stop_token_ids tokenizer keywords "
    "author skip_special_tokens eos_token"
)


@pytest.mark.parametrize("name", SECRETS.split())
def test_names_with_a_word_for_a_secret(name):
    assert redact({name: "x", "deeper": [{name: {"value": "y"}}]}) == {name: "***", "deeper": [{name: {"value": "***"}}]}


@pytest.mark.parametrize("name", NO_SECRETS.split())
def test_names_that_only_look_like_one(name):
    assert redact({name: "x"}) == {name: "x"}
