from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from concur_batch.toolbox.truncate import HeadTail, head_and_tail


def test_short_text_stays() -> None:
    assert head_and_tail("abc", 3) == ("abc", False)


def test_long_text_keeps_head_and_tail_and_says_so() -> None:
    text, truncated = head_and_tail("a" * 500 + "b" * 500, 200)
    assert truncated
    assert text == "a" * 65 + "\n[... 870 of 1,000 characters left out here ...]\n" + "b" * 65


@given(st.text(min_size=0, max_size=400), st.integers(1, 300))
def test_truncated_text_is_bounded(text: str, most: int) -> None:
    cut = head_and_tail(text, most)
    assert cut.truncated == (len(text) > most)
    assert len(cut.text) <= max(most, most // 2 + 70)


@given(st.lists(st.binary(max_size=60), max_size=30), st.integers(2, 100))
def test_a_stream_keeps_its_first_and_last_bytes(pieces: list[bytes], most: int) -> None:
    whole = b"".join(piece.hex().encode() for piece in pieces)
    kept = HeadTail(most)
    for piece in pieces:
        kept.add(piece.hex().encode())
    assert len(kept._tail) <= 2 * most + 120
    text, truncated = kept.cut()
    assert truncated == (len(whole) > most)
    if truncated:
        head, tail = most - most // 2, most // 2
        note = f"\n[... {len(whole) - most:,} of {len(whole):,} bytes left out here ...]\n"
        assert text == whole[:head].decode() + note + whole[len(whole) - tail :].decode()
    else:
        assert text == whole.decode()


def test_bytes_that_are_no_text_are_replaced() -> None:
    kept = HeadTail(10)
    kept.add(b"a\xff")
    assert kept.cut().text == "a\ufffd"
