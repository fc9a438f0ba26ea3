from hypothesis import given
from hypothesis import strategies as st

from concur_batch.sim.runs import length
from concur_batch.sim.tokens import MOST_TOKENS, PER_MESSAGE, Tokenizer, marker, text_of

CALLS = [{"id": "c", "type": "function", "function": {"name": "look", "arguments": "1234"}}]


def ids(runs):
    return [run.token(i) for run in runs for i in range(len(run))]


def tokens(*messages, tools=None, **options):
    return length(Tokenizer(**options).prompt(list(messages), tools))


def test_four_characters_make_a_token():
    count = Tokenizer().text
    assert [length(count("x" * n)) for n in (0, 1, 4, 5)] == [0, 1, 1, 2]
    assert length(Tokenizer(1.0).text("abc")) == 3


@given(st.integers(0, MOST_TOKENS), st.text(), st.lists(st.sampled_from(["", "abcd", "abcdefgh"])))
def test_a_marker_counts_as_what_it_says(count, key, texts):
    around = "".join(texts)
    runs = Tokenizer().text(around + marker(count, key) + around)
    assert length(runs) == count + 2 * length(Tokenizer().text(around))


def test_a_message_counts_with_its_calls_and_its_frame():
    assert tokens({"role": "user", "content": "abcd"}) == 1 + PER_MESSAGE
    assert tokens({"role": "assistant", "tool_calls": CALLS}) == 2 + PER_MESSAGE
    assert tokens({"role": "user", "content": [{"type": "text", "text": "abcd"}, {"type": "image_url"}]}) == 1 + PER_MESSAGE
    assert tokens({"role": "assistant", "content": None, "tool_calls": None}) == PER_MESSAGE


def test_a_marker_alone_stands_for_the_whole_message():
    assert tokens({"role": "assistant", "content": marker(50, "a"), "tool_calls": CALLS}) == 50
    tools = [{"type": "function", "function": {"name": "look"}}]
    assert tokens({"role": "system", "content": marker(50, "s")}, {"role": "user", "content": marker(7, "u")}, tools=tools) == 57
    assert tokens({"role": "user", "content": "abcd"}, tools=tools) == 1 + PER_MESSAGE + 12


@given(
    st.sampled_from([{"content": "Well, I'd say"}, {"content": marker(9, "k")}, {"content": "so", "tool_calls": CALLS}]),
    st.booleans(),
)
def test_what_was_generated_is_a_prefix_of_what_is_sent_back(reply, template):
    tokenizer = Tokenizer(1.0 if template else 4.0, template=template)
    prompt = [{"role": "user", "content": "Go on, then."}]
    message = {"role": "assistant", **reply}
    first = ids(tokenizer.prompt(prompt)) + ids(tokenizer.reply(message))
    assert ids(tokenizer.prompt([*prompt, message, {"role": "user", "content": "More"}]))[: len(first)] == first


def test_equal_keys_are_equal_tokens_and_others_are_not():
    prompt = Tokenizer().prompt
    one, same, other = (ids(prompt([{"role": "user", "content": marker(3, key)}])) for key in ("k", "k", "l"))
    assert one == same
    assert not set(one) & set(other)


def test_counts_the_template_as_qwen_models_have_it():
    # <|im_start|> u s e r \n h i <|im_end|> \n <|im_start|> a s s i s t a n t \n, as the server with one token per character counts it
    assert tokens({"role": "user", "content": "hi"}, chars_per_token=1.0, template=True) == 1 + 5 + 2 + 1 + 1 + 1 + 10


def test_text_of_runs_counts_as_they_do():
    tokenizer = Tokenizer()
    runs = tokenizer.text("one two three " + marker(5, "k"))
    assert ids(tokenizer.text(text_of(runs))) == ids(runs)


def test_a_number_that_no_content_can_have_is_text():
    text = "<|tokens:" + "9" * 5000 + ":k|>"
    assert length(Tokenizer().text(text)) == -(-len(text) // 4)


def test_tools_are_listed_with_the_field_that_the_server_adds():
    tool = {"type": "function", "function": {"name": "look"}}
    bare, listed = (
        tokens({"role": "user", "content": "hi"}, tools=given, chars_per_token=1.0, template=True) for given in (None, [tool])
    )
    rendered = 'system\n# Tools\n<tools>\n{"type": "function", "function": {"name": "look"}, "defer_loading": null}\n</tools>\n'
    assert listed - bare == len(rendered) + 3  # and its two special tokens and a line break
