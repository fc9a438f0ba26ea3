from hypothesis import given
from hypothesis import strategies as st

from concur_batch.engine.tokens import count_message, count_text, marker


def test_four_characters_make_a_token():
    assert [count_text("x" * n) for n in (0, 1, 4, 5)] == [0, 1, 1, 2]
    assert count_text("abc", 1.0) == 3


@given(st.integers(0, 10**9), st.text(), st.lists(st.sampled_from(["", "abcd", "abcdefgh"])))
def test_a_marker_counts_as_what_it_says(tokens, key, texts):
    around = "".join(texts)
    assert count_text(around + marker(tokens, key) + around) == tokens + count_text(around + around)


def test_a_message_counts_with_its_calls_and_its_frame():
    calls = [{"id": "c", "type": "function", "function": {"name": "look", "arguments": "1234"}}]
    assert count_message({"role": "user", "content": "abcd"}) == 5
    assert count_message({"role": "assistant", "tool_calls": calls}) == 6
    assert count_message({"role": "user", "content": [{"type": "text", "text": "abcd"}, {"type": "image_url"}]}) == 5
    assert count_message({"role": "assistant", "content": None, "tool_calls": None}) == 4
