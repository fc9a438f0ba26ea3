from __future__ import annotations

import sys
from pathlib import Path

import pytest

from concur_batch.errors import InputError
from concur_batch.toolbox.limits import ToolLimits
from concur_batch.toolbox.load import load_tools
from concur_batch.toolbox.tools import Tools

HEAD = "from concur_batch.toolbox import tool\n"
GOOD = HEAD + '@tool\ndef add(x: int, y: int = 1) -> int:\n    """Add."""\n    return x + y\n'
METHOD = "class Shelf:\n    x = 1\n    @tool\n    def look(self, x: int) -> int: return x\n"
ON_METHOD = "@tool stands before a method, Shelf.look: put it before a function outside of classes, or bind the method at the top of the file"
BUILTIN = ["read_file", "write_file", "shell", "python"]


@pytest.fixture(autouse=True)
def _clean_imports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.chdir(tmp_path)


def load(*sources: str) -> Tools:
    return load_tools(sources, workspaces=Path("run/workspaces"))


def names(tools: Tools) -> list[str]:
    return [spec.name for spec in tools.specs]


def test_without_a_source_the_built_in_tools_can_be_named() -> None:
    tools = load()
    assert names(tools) == [*BUILTIN, "wait"]
    assert tools.offered == ()
    assert [spec.repeatable for spec in tools.specs] == [True, False, False, False, True]
    assert set(tools.specs[2].parameters["properties"]) == {"command"}


def test_a_file_is_offered_before_the_built_in_tools(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(GOOD)
    tools = load("mine.py", "python")
    assert names(tools) == ["add", "python", "read_file", "write_file", "shell", "wait"]
    assert tools.offered == ("add", "python")
    assert load("builtin").offered == tuple(BUILTIN)


def test_a_file_may_use_its_neighbours_and_types_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "neighbour.py").write_text(GOOD)
    (tmp_path / "sub" / "mine.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom neighbour import add, tool\n\n"
        "@dataclass\nclass Point:\n    x: int\n\n@tool\ndef far(point: Point) -> int:\n    return point.x\n"
    )
    assert load("sub/mine.py").offered == ("add", "far")


def test_a_module_is_found_from_here(tmp_path: Path) -> None:
    (tmp_path / "package_of_tools").mkdir()
    (tmp_path / "package_of_tools" / "mine.py").write_text(GOOD)
    assert load("package_of_tools.mine").offered == ("add",)


def test_a_file_is_run_anew_each_time_it_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(GOOD)
    assert load("mine.py").offered == ("add",)
    file.write_text(GOOD.replace("def add", "def plus_"))
    assert load("mine.py").offered == ("plus_",)


def test_an_own_tool_takes_the_place_of_a_built_in_one(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(GOOD.replace("def add", "def shell"))
    tools = load("mine.py")
    assert names(tools) == ["shell", "read_file", "write_file", "python", "wait"]
    assert tools.specs[0].description == "Add."


def test_one_file_named_in_two_ways_is_one(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(GOOD)
    assert load("mine.py", "./mine.py", str(tmp_path / "mine.py")).offered == ("add",)


def test_the_same_source_twice_is_one(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(GOOD)
    assert load("mine.py", "mine.py").offered == ("add",)
    assert load("shell", "builtin").offered == ("shell", "read_file", "write_file", "python")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def f(:\n", "{file}:1: invalid syntax; correct the syntax"),
        (HEAD + "x = 1\n  y = 2\n", "{file}:3: unexpected indent; correct the syntax"),
        (HEAD + "\nimport no_such_thing\n", "{file}:3: No module named 'no_such_thing'; install it in this environment"),
        (HEAD + "from os import no_such\n", "{file}:2: cannot import name 'no_such' from 'os'"),
        (HEAD + "x = 1\nx / 0\n", "{file}:3: ZeroDivisionError: division by zero; the file must be importable"),
        ("import sys\nsys.exit(3)\n", "{file}:2: SystemExit: 3; the file must be importable"),
        ("x = '\0'\n", "{file}"),
        ("", "mine.py: no tool in it; put @tool"),
        ("def plain(x: int) -> int: return x\n", "mine.py: no tool in it; put @tool"),
        (HEAD + METHOD, f"mine.py: no tool in it; {ON_METHOD}: look = Shelf().look"),
        (HEAD + METHOD.replace("@tool", "@staticmethod\n    @tool"), f"mine.py: no tool in it; {ON_METHOD}: look = Shelf().look"),
        (HEAD + "@tool\ndef f(x): return x\n", "{file}:2: parameter `x` of tool f has no type"),
        (HEAD + "@tool(rate='often')\ndef f() -> str: return ''\n", "{file}:2: ValueError: a rate is"),
        (HEAD + "@tool(speed=3)\ndef f() -> str: return ''\n", "{file}:2: TypeError: tool() got an unexpected keyword"),
        (HEAD + "@tool\nclass F: pass\n", "{file}:2: TypeError: @tool stands before a function"),
        (
            GOOD.replace("def add", "def finish"),
            "{file}:2: tool `finish` would never run: a call of this name ends the task; give it",
        ),
        (HEAD + "@tool(name='finish')\ndef end() -> str: return ''\n", "{file}:2: tool `finish` would never run"),
        (GOOD + "@tool(name='add')\ndef more() -> str: return ''\n", "{file}:6: tool `add` exists already ({file}:2); give one"),
    ],
)
def test_a_bad_file_is_told_in_one_sentence(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        load("mine.py")
    assert str(caught.value).startswith(told.format(file=file.resolve()))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("missing.py", "missing.py: tools file does not exist"),
        ("./", ".: tools file is a folder; name a .py file in it"),
        (".", ".: tools file is a folder; name a .py file in it"),
        ("..", "..: tools file is a folder; name a .py file in it"),
        ("", "--tools '': is empty; --tools takes FILE.py"),
        (".mine", ".mine: tools file does not exist"),
        ("/dev/null", "/dev/null: tools file is not a regular file; save it as one whose name ends in .py"),
        (f"{'x' * 300}.py", "tools file cannot be read (File name too long); --tools takes FILE.py"),
        ("a\0b.py", "tools file cannot be read (embedded null byte)"),
        ("sub/text.txt/mine.py", "tools file does not exist"),
        ("sub/text.txt", "its name must end in .py"),
        ("no_such_module", "--tools no_such_module: no such module; give a FILE.py"),
        ("json.no_such", "--tools json.no_such: no such module"),
        ("json", "json: no tool in it"),
        ("broken_module", "broken_module.py:1: No module named 'nothing_there'; install it"),
    ],
)
def test_a_bad_source_is_told_in_one_sentence(tmp_path: Path, source: str, told: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "text.txt").write_text("")
    (tmp_path / "broken_module.py").write_text("import nothing_there\n")
    with pytest.raises(InputError) as caught:
        load(source)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_demanded_sandbox_is_checked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="sandbox is required"):
        load_tools([], workspaces=Path("run/workspaces"), limits=ToolLimits(sandbox="bubblewrap"))
