import pytest

from concur_batch.results.sparklines import compact, spark


def test_blocks_go_from_zero_to_the_top():
    assert spark([0, 0.5, 1.0, 3.0, None], top=1.0) == "▁▅██ "
    assert spark([0, 4, 8]) == "▁▅█"  # the greatest is the top
    assert spark([0, 4, 8], ascii_only=True) == "_=#"


def test_without_any_height_there_is_a_ground_line():
    assert spark([0, 0, None]) == "▁▁ "
    assert spark([None, None]) == "  "
    assert spark([]) == ""


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0"), (3, "3"), (2.43, "2.4"), (9.96, "10"), (1234.4, "1,234"), (9_999.6, "10.0k"), (999_949, "999.9k"), (999_951, "1.0M"), (76.58e6, "76.6M")],
)  # fmt: skip
def test_numbers_are_short(value, expected):
    assert compact(value) == expected
    assert len(expected) <= 6
