import pytest

from concur_batch.config import resolve, server_key
from concur_batch.errors import InputError

KINDS = ["CONCUR_API_KEY", "SGLANG_API_KEY", "OPENAI_API_KEY"]


def refusal(cli, env):
    config = resolve(cli, (), None, env)
    with pytest.raises(InputError) as caught:
        server_key(config)
    return str(caught.value)


@pytest.mark.parametrize("name", KINDS)
def test_white_space_around_a_key_is_none_of_it(name):
    assert resolve({}, (), None, {name: " sk-1\r\n"}).engine.api_key.get_secret_value() == "sk-1"


@pytest.mark.parametrize("blank", ["", " ", "\r\n"])
def test_a_blank_key_is_none(blank):
    none = resolve({}, (), None, {}).engine.api_key
    assert resolve({}, (), None, {"CONCUR_API_KEY": blank}).engine.api_key == none
    assert resolve({"engine.api_key": blank}, (), None, {}).engine.api_key == none


@pytest.mark.parametrize("key", ["sk-ключ", "sk-1\nsk-2", "sk-\x00", "sk-\udce9"])
def test_what_no_header_can_hold_is_refused_with_its_place_and_not_told(key):
    for name in KINDS:
        text = refusal({}, {name: key})
        assert text.startswith(f"environment {name}: engine.api_key must be of printable ASCII characters alone")
        assert "sk-" not in text
    assert refusal({"engine.api_key": key}, {}).startswith("option --api-key: engine.api_key must be of printable ASCII")


def test_another_programs_key_is_not_looked_at_where_one_is_given():
    foreign = {"OPENAI_API_KEY": "sk-\N{LEFT DOUBLE QUOTATION MARK}"}
    assert resolve({"engine.api_key": "mine"}, (), None, foreign).engine.api_key.get_secret_value() == "mine"
    assert resolve({}, (), None, {**foreign, "CONCUR_API_KEY": "mine"}).engine.api_key.get_secret_value() == "mine"
