import math

from hypothesis import given
from hypothesis import strategies as st

from concur_batch.dashboard.charts import cells, spark, tall

values = st.lists(st.none() | st.floats() | st.floats(0, 10), max_size=30)


def test_newest_stands_at_the_right_and_what_is_not_known_is_a_gap():
    assert spark([0.0, 0.5, None, 1.0], 6, ascii_only=False) == "  ▁▄ ▇"
    assert spark([0.0, 0.5, None, 1.0], 2, ascii_only=True) == " #"
    assert spark([1.0], 0, ascii_only=True) == ""


def test_a_tall_chart_has_eight_levels_a_line():
    assert tall([0, 0.25, 0.5, 0.75, 1], 5, 2, ascii_only=False) == ["   ▄▇", "▁▄███"]
    assert tall([3.0], 1, 1, top=0.0, ascii_only=False) == ["▁"]


def test_cells_of_a_bar_add_up():
    assert cells((0.25, 0.5), 8) == [2, 4]
    assert cells((0.004, 0.996), 10) == [0, 10]
    assert cells((0.7, 0.7), 10) == [7, 3]
    assert cells((None, math.nan, -1.0), 10) == [0, 0, 0]


@given(values=values, width=st.integers(0, 20), rows=st.integers(1, 4), top=st.floats(), ascii_only=st.booleans())
def test_any_values_can_be_drawn(values, width, rows, top, ascii_only):
    drawn = tall(values, width, rows, top=top, ascii_only=ascii_only)
    assert [len(line) for line in drawn] == [width] * rows
    assert 0 <= sum(cells(values, width)) <= width
