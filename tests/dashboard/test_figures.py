import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from concur_batch.dashboard.figures import (
    change,
    clean,
    count,
    duration,
    fit,
    fit_ends,
    milliseconds,
    progress,
    rate,
    seconds,
    share,
    size,
)

numbers = st.none() | st.floats() | st.integers(-(2**63), 2**63)


@pytest.mark.parametrize(
    ("function", "value", "shown"),
    [
        (count, None, "-"),
        (count, 9_999, "9,999"),
        (count, 12_345, "12.3k"),
        (count, 4_500_000, "4.5M"),
        (count, float("nan"), "-"),
        (rate, 1.25, "1.2"),
        (rate, 250.4, "250"),
        (share, 0.714, "71%"),
        (share, None, "-"),
        (duration, 4.9, "4 s"),
        (duration, 751, "12:31"),
        (duration, 11_551, "3:12:31"),
        (duration, 500_000, "5 d 18 h"),
        (duration, -1, "0 s"),
        (milliseconds, 0.0031, "3 ms"),
        (milliseconds, 1.24, "1.2 s"),
        (seconds, 0.0406, "41 ms"),
        (seconds, 1.24, "1.2 s"),
        (seconds, 75.2, "1:15"),
        (size, 158_400_000, "158 MB"),
        (size, 1_240_000_000, "1.2 GB"),
    ],
)
def test_how_figures_are_shown(function, value, shown):
    assert function(value) == shown


def test_foreign_text_becomes_one_harmless_line():
    assert clean("\n first\x1b[31m [red]line\nsecond", ascii_only=False) == "first [red]line"
    assert clean("naïve\ud800", ascii_only=True) == "na?ve "
    assert clean("", ascii_only=True) == ""


@pytest.mark.parametrize(("part", "shown"), [(0, "0%"), (3, "0%"), (599, "99%"), (600, "100%"), (601, "100%")])
def test_all_is_only_said_to_be_done_when_it_is(part, shown):
    assert progress(part, 600) == shown


@given(value=numbers)
def test_no_number_is_refused(value):
    for function in (count, rate, share, duration, milliseconds, seconds, size):
        assert len(function(value)) <= 12


@given(before=numbers, now=numbers)
def test_a_change_shows(before, now):
    old, new = change(before, now)
    if isinstance(before, int) and isinstance(now, int) and before != now and max(abs(before), abs(now)) < 10**9:
        assert old != new
    assert change(92_110, 92_140) == ("92,110", "92,140")
    assert change(92_110, 94_000) == ("92.1k", "94.0k")


@given(text=st.text("aé漢\x1b\n\ud800[/]", max_size=30), width=st.integers(0, 20))
def test_fitted_text_has_its_width(text, width):
    fitted = fit(clean(text, ascii_only=False), width, ascii_only=False)
    assert cell_len(fitted) == width
    assert cell_len(fit_ends(clean(text, ascii_only=False), width, ascii_only=False)) == width


def test_of_a_long_name_both_ends_are_kept():
    assert fit_ends("astropy__astropy-12907#3", 16, ascii_only=False) == "astropy…-12907#3"
    assert fit_ends("short#3", 16, ascii_only=False) == "short#3         "
    assert fit_ends("漢漢漢漢漢漢漢漢漢#3", 10, ascii_only=True) == "漢漢~ 漢#3"
