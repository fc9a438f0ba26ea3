from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from concur_batch.dashboard.layout import Section, beside, ends, flow, label, one_line, prose, stack


def section(name, *sizes, rank=0, **more):
    return Section(rank=rank, sizes=sizes, draw=lambda _, height: [Text(name)] * height, **more)


def drawn(sections, height):
    return "".join(line.plain or "." for line in stack(sections, 20, height))


def test_room_goes_by_rank_then_to_blank_lines_then_to_growth():
    sections = [section("a", 1, 2, 4, rank=2, good=2), section("b", 2, 3, rank=1)]
    assert drawn(sections, 1) == "a"  # b has no room
    assert drawn(sections, 2) == "bb"
    assert drawn(sections, 3) == "abb"
    assert drawn(sections, 4) == "aabb"
    assert drawn(sections, 5) == "aa.bb"
    assert drawn(sections, 6) == "aa.bbb"
    assert drawn(sections, 9) == "aaaa.bbb"


def test_a_spare_section_waits_until_the_others_are_good():
    sections = [section("a", 1, 3, rank=1, good=3), section("b", 1, rank=0, spare=True)]
    assert drawn(sections, 2) == "a"
    assert drawn(sections, 3) == "aaa"
    assert drawn(sections, 4) == "aaab"


@given(
    sizes=st.lists(
        st.tuples(st.lists(st.integers(1, 9), max_size=4), st.integers(0, 5), st.integers(0, 9), st.booleans()), max_size=6
    ),
    height=st.integers(0, 40),
)
def test_it_is_never_higher_than_it_may(sizes, height):
    sections = [section("x", *sorted(s), rank=rank, good=good, spare=spare) for s, rank, good, spare in sizes]
    assert len(stack(sections, 20, height)) <= height


def test_columns_keep_their_own_styles():
    lines = beside([Text("a", style="dim"), Text("b")], [Text("c", style="red")], 3, 1, ascii_only=False)
    assert [line.plain for line in lines] == ["a   c", "b"]
    assert [str(span.style) for span in lines[0].spans] == ["dim", "red"]


def test_parts_that_find_no_room_are_left_out_or_flow():
    parts = [Text("first"), Text("second"), Text("third")]
    assert one_line(label("x"), parts, 22).plain == "x        first  second"
    assert [line.plain.strip() for line in flow(Text("x "), parts, 16, 2)] == ["x first  second", "third"]
    assert ends(Text("left"), Text("right"), 8).plain == "left"
    assert ends(Text("left"), Text("right"), 11).plain == "left  right"


def test_prose_ends_in_an_ellipsis():
    lines = prose(label("note"), "one two three four five six", "", 20, 2, ascii_only=True)
    assert [line.plain for line in lines] == ["note     one two", "         three four~"]
    lines = prose(label("note"), "http://127.0.0.1:30000 is away", "", 20, 2, ascii_only=True)
    assert [line.plain for line in lines] == ["note     http://127~", "         is away"]
