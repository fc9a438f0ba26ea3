import pytest
from journals import ListJournal, end, reply, segment, start
from rich.cells import cell_len

from concur_batch import records as r
from concur_batch.results.collection import JournalCollection
from concur_batch.results.listing import headings, left_out, line, render_lines


def shown(*ends, width=80, names=None):
    records = [segment()]
    for i, one in enumerate(ends):
        name = names[i] if names else f"t{i}#0"
        records += [start(name, i), reply(name, 1, base=1, prompt_tokens=1200), end(name, **one)]
    lines = [line(found.row()) for found in JournalCollection(ListJournal(records))]
    return [text.plain for text in render_lines(lines, width, left_out(lines, width))]


def test_a_line_per_rollout():
    error = r.ErrorInfo(error_class="tool", message="no\nroom")
    assert shown({"output": "four\nwords  of it", "n_steps": 3, "wall_s": 65.0}, {"status": "error", "error": error}) == [
        "rollout  status     steps  tokens        time  output",
        "t0#0     completed      3   1,202  1 min 05 s  four words of it",
        "t1#0     error          0   1,202       0.0 s  tool: no room",
    ]


def test_a_message_that_begins_with_its_rollout_has_room_for_the_rest():
    error = r.ErrorInfo(error_class="engine", message="t0#0: no turn")
    assert shown({"status": "error", "error": error})[1].endswith("  engine: no turn")


def test_it_fits_whatever_it_holds():
    ends = [{"output": "漢字" * 100, "n_steps": 12345}, {"status": "context_length", "output": "\x1b[31mx\x1b]0;t\x07" * 20}]
    for width in (60, 80, 132):
        lines = shown(*ends, width=width, names=["a long name " * 9 + "#10", "漢" * 50 + "#7"])
        assert max(map(cell_len, lines)) <= width
        assert all(text.isprintable() for text in lines)
        assert "#7 " in lines[2]


def test_names_keep_their_ends():
    (_, one) = shown({}, names=["project/module/very/long/path/to/a/test::case_name_of_it#12"], width=80)
    assert one.startswith("project/")
    assert "#12" in one


@pytest.mark.parametrize(
    ("width", "kept"),
    [
        (80, "rollout status steps tokens time output"),
        (44, "rollout status steps time output"),
        (36, "rollout status time output"),
        (30, "rollout status output"),
        (20, "rollout status"),
    ],
)
def test_the_least_important_columns_give_way(width, kept):
    lines = shown({"output": "four words of it", "n_steps": 3, "wall_s": 5.0}, width=width)
    assert lines[0].split() == kept.split()
    assert max(map(cell_len, lines)) <= width
    assert all("…" not in text for text in lines[0])


def test_those_left_out_are_named_as_they_would_stand():
    assert headings([4, 2]) == "steps, time"
