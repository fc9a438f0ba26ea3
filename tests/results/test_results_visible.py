import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from concur_batch.results.visible import one_line, visible


def test_what_moves_the_cursor_is_seen_as_an_escape():
    assert visible("\x1b[2J\a\x9b1m\rx") == r"\x1b[2J\x07\x9b1m\rx"
    assert visible("a\u202eb\u2066c") == r"a\u202eb\u2066c"
    assert visible("a\tb\r\nc\nd [bold]é漢[/bold]") == "a\tb\nc\nd [bold]é漢[/bold]"


@given(st.text())
def test_nothing_of_that_kind_is_left(text):
    assert all(unicodedata.category(c) not in ("Cc", "Cs") for c in visible(text) if c not in "\n\t")
    shown = one_line(text, 20)
    assert len(shown) <= 20
    assert all(unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp") for c in shown)


def test_first_words_on_one_line():
    assert one_line("  a\n\n b\tc ") == "a b c"
