import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.results.bins import Bins


def filled(spans, **options):
    bins = Bins(1, **options)
    for start, end, amount in spans:
        bins.add(start, end, [amount])
    return bins


def test_a_sum_is_spread_over_the_seconds_it_covers():
    bins = filled([(0.5, 2.5, 8.0)])
    assert (bins.rows, bins.width, bins.end) == ([[2.0], [4.0], [2.0]], 1.0, 2.5)


def test_a_span_that_ends_with_a_bin_does_not_touch_the_next():
    assert filled([(0.0, 1.0, 3.0), (1.0, 2.0, 5.0)]).rows == [[3.0], [5.0]]


def test_a_moment_goes_whole_into_the_bin_that_ends_there():
    assert filled([(0.0, 0.0, 1.0), (2.0, 2.0, 4.0)]).rows == [[1.0], [4.0]]


def test_neighbours_are_added_up_when_there_are_too_many():
    bins = filled([(i, i + 1.0, i) for i in range(5)], most=4)
    assert (bins.rows, bins.width) == ([[1.0], [5.0], [4.0]], 2.0)


def test_columns_are_sums_not_picks():
    bins = filled([(i, i + 1.0, 10.0 * i) for i in range(6)])
    assert bins.resampled(2).rows == [[30.0], [120.0]]
    assert bins.resampled(4).rows == [pytest.approx([5.0]), pytest.approx([25.0]), pytest.approx([50.0]), pytest.approx([70.0])]


def test_fewer_bins_than_columns_are_stretched():
    assert filled([(0.0, 1.0, 4.0), (1.0, 2.0, 8.0)]).resampled(4).rows == [[2.0], [2.0], [4.0], [4.0]]


def test_an_end_next_to_nothing_is_resampled_too():
    assert filled([(0.0, 5e-324, 4.0)]).resampled(3).rows == [[4.0], [0.0], [0.0]]


def test_nothing_resampled_is_nothing():
    assert Bins(3).resampled(40).rows == []


spans = st.lists(
    st.tuples(st.floats(0, 5_000), st.floats(0, 300), st.integers(0, 10**6)).map(lambda x: (x[0], x[0] + x[1], x[2])), max_size=60
)


@given(spans, st.integers(1, 50), st.integers(1, 120))
def test_no_sum_is_lost_and_memory_is_bounded(spans, most, columns):
    bins = filled(spans, most=most)
    whole = pytest.approx(sum(amount for *_, amount in spans), rel=1e-9, abs=1e-6)
    assert sum(row[0] for row in bins.rows) == whole
    assert len(bins.rows) <= most
    assert all(row[0] >= 0 for row in bins.rows)
    if bins.end > 0:
        coarse = bins.resampled(columns)
        assert sum(row[0] for row in coarse.rows) == whole
        assert len(coarse.rows) == columns
