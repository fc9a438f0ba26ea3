from journals import ListJournal, end, reply, segment, start
from rich.cells import cell_len

from concur_batch import records as r
from concur_batch.results.collection import JournalCollection
from concur_batch.results.listing import line, render_lines


def shown(*ends, width=80, names=None):
    records = [segment()]
    for i, one in enumerate(ends):
        name = names[i] if names else f"t{i}#0"
        records += [start(name, i), reply(name, 1, base=1, prompt_tokens=1200), end(name, **one)]
    lines = [line(found.row()) for found in JournalCollection(ListJournal(records))]
    return [text.plain for text in render_lines(lines, width)]


def test_a_line_per_rollout():
    error = r.ErrorInfo(error_class="tool", message="no\nroom")
    assert shown({"output": "four\nwords  of it", "n_steps": 3, "wall_s": 65.0}, {"status": "error", "error": error}) == [
        "rollout  status     steps  tokens        time  output",
        "t0#0     completed      3   1,202  1 min 05 s  four words of it",
        "t1#0     error          0   1,202       0.0 s  tool: no room",
    ]


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
