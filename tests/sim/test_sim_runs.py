import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.sim.runs import Cursor, Run, head, length, tail

TEXTS = st.text("ab", max_size=12)


@st.composite
def sequences(draw):
    """Runs of text and of counted tokens, small alphabets so that prefixes are shared."""
    runs = []
    for _ in range(draw(st.integers(0, 5))):
        if draw(st.booleans()):
            key, start = draw(st.sampled_from("kl")), draw(st.integers(0, 2))
            runs.append(Run(key, start, start + draw(st.integers(0, 4))))
        else:
            text = draw(TEXTS)
            runs.append(Run(text, 0, -(-len(text) // 2), 2.0))
    return runs


def ids(runs):
    return [run.token(i) for run in runs for i in range(len(run))]


@given(sequences(), st.integers(0, 20))
def test_head_and_tail_are_the_whole(runs, tokens):
    assert ids(head(runs, tokens)) == ids(runs)[:tokens]
    assert ids(tail(runs, tokens)) == ids(runs)[tokens:]
    assert length(runs) == len(ids(runs))


@given(sequences(), sequences(), st.integers(0, 30))
def test_a_cursor_follows_as_far_as_the_tokens_are_the_same(one, other, limit):
    same = 0
    for a, b in zip(ids(one), ids(other), strict=False):
        if a != b or same == limit:
            break
        same += 1
    cursor = Cursor(one)
    assert cursor.follow(other, limit) == min(same, limit)
    assert ids(cursor.rest(length(one) - min(same, limit))) == ids(one)[min(same, limit) :]


@given(sequences(), st.integers(1, 4))
def test_a_key_is_the_next_tokens(runs, page):
    cursor, at, all_ids = Cursor(runs), 0, ids(runs)
    while at + page <= len(all_ids):
        wanted = all_ids[at] if page == 1 else tuple(all_ids[at : at + page])
        assert cursor.key(page) == wanted
        cursor.skip(1)
        at += 1
    assert cursor.key(page) is None


@pytest.mark.parametrize("chars", [0.7, 1.0, 3.3, 4.0])
def test_pieces_of_text_put_together_are_the_text(chars):
    text = "the quick brown fox jumps"
    tokens = -(-len(text) // chars) if chars >= 1 else int(len(text) / chars) + 1
    run = Run(text, 0, int(tokens), chars)
    assert "".join(str(run.token(i)) for i in range(len(run))) == text
