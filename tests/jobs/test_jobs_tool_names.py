from concur_batch.jobs.tool_names import tool_problems

KNOWN = frozenset({"search", "shell"})


def function(name):
    return {"type": "function", "function": {"name": name, "parameters": {}}}


def test_known_names_and_finish_pass_in_either_form():
    assert list(tool_problems(["search", function("shell"), "finish"], KNOWN)) == []


def test_an_unknown_name_gets_the_nearest_or_all_known():
    assert list(tool_problems(["serach", function("browser")], KNOWN)) == [
        (0, 'there is no tool "serach"; did you mean "search"?'),
        (1, 'there is no tool "browser"; known are finish, search, shell; own tools are brought by --tools FILE.py'),
    ]


def test_other_entries_and_doubles_are_told():
    positions = [
        position for position, _ in tool_problems([3, {"type": "web"}, {"function": {}}, "shell", function("shell")], KNOWN)
    ]
    assert positions == [0, 1, 2, 4]


def test_a_long_list_of_names_is_cut():
    ((_, text),) = tool_problems(["zzz"], frozenset(f"tool_{i}" for i in range(100)))
    assert len(text) < 250
