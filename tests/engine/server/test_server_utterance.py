from hypothesis import given
from hypothesis import strategies as st

from concur_batch.engine.server.filler import filler, ids_of
from concur_batch.engine.server.utterance import Utterance
from concur_batch.sim.runs import length
from concur_batch.sim.tokens import Tokenizer, marker

texts = st.lists(st.text("ab c", max_size=12) | st.builds(marker, st.integers(1, 9), st.text("xy", max_size=3)), max_size=4)


@given(parts=texts, chars=st.sampled_from([1.0, 2.5, 4.0]), template=st.booleans(), stop=st.floats(0, 1))
def test_pieces_add_up_to_what_has_been_said(parts, chars, template, stop):
    content = "".join(parts)
    output = Tokenizer(chars, template=template).reply({"role": "assistant", "content": content})
    tokens = length(output)
    said = round(stop * tokens)
    complete = said == tokens
    utterance = Utterance(output, content)
    told = "".join(utterance.more(count) for count in range(1, said + 1))
    whole = utterance.whole(said, complete=complete)
    assert told + utterance.rest(said, complete=complete) == whole
    assert whole.startswith(told)
    assert not complete or whole == content


@given(tokens=st.integers(1, 400), chars=st.floats(1, 8), seed=st.integers(0, 2**64 - 1))
def test_filler_has_exactly_the_tokens_asked_for(tokens, chars, seed):
    text = filler(tokens, chars, seed)
    assert length(Tokenizer(chars).text(text)) == tokens
    assert len(ids_of(text, tokens, chars)) == tokens
