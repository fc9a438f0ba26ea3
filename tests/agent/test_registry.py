"""Names of agents."""

import sys

import pytest

from concur_batch.agent.base import agent, schema_of
from concur_batch.agent.react import react
from concur_batch.agent.registry import find_agent
from concur_batch.errors import InputError


def test_react_is_built_in():
    assert find_agent("react") is react
    assert schema_of(react) is None


def test_a_function_in_a_file(tmp_path):
    (tmp_path / "mine.py").write_text("async def solve(task, ctx):\n    return 'x'\n")
    assert find_agent(f"{tmp_path}/mine.py:solve").__name__ == "solve"


def test_a_file_may_import_its_neighbours(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "neighbour_of_mine.py").write_text("WORD = 'hi'\n")
    (tmp_path / "mine.py").write_text("from neighbour_of_mine import WORD\nasync def solve(task, ctx):\n    return WORD\n")
    assert find_agent(f"{tmp_path}/mine.py:solve").__name__ == "solve"


@pytest.mark.parametrize(
    ("source", "name", "words"),
    [
        ("async def solve(:\n", "mine.py:solve", "mine.py:1"),
        ("\nraise KeyError('x')\n", "mine.py:solve", "mine.py:2: KeyError: 'x'; the file must be importable"),
        ("import sys\nsys.exit(1)\n", "mine.py:solve", "mine.py:2: SystemExit: 1"),
        ("async def solve(task):\n    return 1\n", "mine.py:solve", "called with the task and the context"),
        ("def solve(task, ctx):\n    return 1\n", "mine.py:solve", "async function"),
        ("x = 1\n", "mine.py:solve", "has no 'solve'"),
        ("\nimport no_such_thing\n", "mine.py:solve", "mine.py:2: No module named 'no_such_thing'; install it"),
        ("", "other.py:solve", "no file"),
        ("", "solve", "module:callable"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, monkeypatch, source, name, words):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "mine.py").write_text(source)
    with pytest.raises(InputError, match=words):
        find_agent(f"{tmp_path}/{name}" if ":" in name else name)


@pytest.mark.parametrize(
    ("before", "told"),
    [
        ("@dataclass\nclass Row:\n    x: int\n@agent(schema=Row)", "not the class Row"),
        ("@agent(schema=dict)", "not the class dict"),
        ("@agent(schema={'x': int})", "not {'x': <class 'int'>}"),
        ("@agent(schema=list[int])", r"not list\[int\]"),
    ],
)
def test_a_schema_that_is_no_pydantic_model_is_told_with_its_agent(tmp_path, monkeypatch, before, told):
    monkeypatch.setattr(sys, "path", list(sys.path))
    head = "from dataclasses import dataclass\nfrom concur_batch.agent import agent\n"
    (tmp_path / "mine.py").write_text(f"{head}{before}\nasync def solve(task, ctx):\n    return None\n")
    with pytest.raises(InputError, match=f"mine.py.*the schema of agent solve must be a pydantic model.*{told}"):
        find_agent(f"{tmp_path}/mine.py:solve")


def test_a_schema_in_place_of_the_function_is_told():
    class Row:
        pass

    for wrong in (Row, "solve"):
        with pytest.raises(TypeError, match=r"@agent stands before a function, not before .*; write @agent\(schema="):
            agent(wrong)


def test_a_file_by_its_name_from_here_and_a_module_tell_the_line_too(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agent_that_breaks.py").write_text("\n\nx = 1 / 0\n")
    for name in ("agent_that_breaks.py:solve", "agent_that_breaks:solve"):
        with pytest.raises(InputError) as caught:
            find_agent(name)
        told = f"agent '{name}': {tmp_path.resolve()}/agent_that_breaks.py:3: ZeroDivisionError: division by zero; "
        assert str(caught.value).startswith(told)
    assert not [module for module in sys.modules if "agent_that_breaks" in module]
    with pytest.raises(InputError, match="agent 'no_such_module:x': no such module; give "):
        find_agent("no_such_module:x")


def test_an_input_error_of_the_file_itself_is_passed_on_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agent_with_words.py").write_text(
        "from concur_batch.errors import InputError\nraise InputError('prices.csv: is missing; make it first')\n"
    )
    for name in ("agent_with_words.py:solve", "agent_with_words:solve"):
        with pytest.raises(InputError) as caught:
            find_agent(name)
        assert str(caught.value) == "prices.csv: is missing; make it first"
    assert not [module for module in sys.modules if "agent_with_words" in module]


def test_a_decorated_agent_keeps_its_schema():
    from pydantic import BaseModel

    class Row(BaseModel):
        x: int

    @agent(schema=Row)
    async def mine(task, ctx):
        return None

    @agent
    async def plain(task, ctx):
        return None

    assert schema_of(mine) is Row
    assert schema_of(plain) is None
