"""Qwen3-8B's tokenizer of one token per character: what can be told of it without the tokenizers package."""

import json
import os
import subprocess
import unicodedata
from pathlib import Path

import model
import pytest

SPECIAL = ["<unk>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def test_every_id_of_the_model_is_one_token() -> None:
    ids = model.vocabulary(SPECIAL)
    assert len(ids) == model.VOCABULARY == model.CONFIGURATION["vocab_size"] == 151_936
    assert sorted(ids.values()) == list(range(model.VOCABULARY))
    assert [ids[token] for token in SPECIAL] == list(model.SPECIAL_IDS)


def test_ascii_comes_first_as_in_the_small_models() -> None:
    ids = model.vocabulary(SPECIAL)
    assert [ids[chr(code)] for code in range(32, 127)] == list(range(95))
    assert (ids["\n"], ids["\t"]) == (95, 96)


def test_no_token_does_anything_to_its_neighbours() -> None:
    characters = [token for token in model.vocabulary(SPECIAL) if token not in SPECIAL]
    assert all(len(character) == 1 for character in characters)
    assert "\ufffd" not in characters
    assert {c for c in characters if c.isspace()} == {" ", "\n", "\t"}
    assert not {unicodedata.category(c) for c in characters} & {"Mn", "Mc", "Me", "Cf", "Cs", "Cn"}


def test_text_of_all_tokens_goes_through_json_utf8_and_normal_forms_unchanged() -> None:
    text = "".join(token for token in model.vocabulary(SPECIAL) if token not in SPECIAL)
    assert json.loads(json.dumps(text)) == text
    assert text.encode().decode() == text
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        hangul_aside = "".join(c for c in text if not "\uac00" <= c <= "\ud7a3") if form.endswith("D") else text
        assert unicodedata.normalize(form, hangul_aside) == hangul_aside


ROUND_TRIP = """
import random, sys
from pathlib import Path
from tokenizers import Tokenizer
from transformers import AutoTokenizer

folder = Path(sys.argv[1])
sys.path.insert(0, sys.argv[2])
import model

model.build(folder)
plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
served = AutoTokenizer.from_pretrained(folder)
ids = [i for i in range(model.VOCABULARY) if i not in model.SPECIAL_IDS]
assert plain.get_vocab_size() == len(served) == model.VOCABULARY
assert all(plain.encode(plain.decode([i])).ids == [i] for i in ids)
random.Random(1).shuffle(ids)
assert served.encode(served.decode(ids)) == ids
turns = [{"role": "user", "content": "look"}, {"role": "assistant", "content": served.decode(ids[:50])}]
text = served.apply_chat_template(turns, tokenize=False)
longer = served.apply_chat_template([*turns, {"role": "user", "content": "again"}], tokenize=False)
assert served.encode(longer)[: len(served.encode(text))] == served.encode(text)
"""


@pytest.mark.sglang
def test_whatever_is_generated_is_encoded_as_it_was(tmp_path: Path) -> None:
    venv = os.environ.get("CONCUR_SGLANG_VENV")
    if not venv:
        pytest.skip("CONCUR_SGLANG_VENV is not set")
    tools = str(Path(__file__).parents[2] / "tools" / "gpu")
    subprocess.run([Path(venv) / "bin" / "python", "-c", ROUND_TRIP, tmp_path / "model", tools], check=True)
