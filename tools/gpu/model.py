"""Writes the folder of Qwen3-8B without its weights, to be served with `--load-format dummy`: its real configuration, and a
tokenizer of the full size with one token per character.

Random weights answer with any of the 151,936 ids. Each is one character here that is encoded to the same id again, so what a
conversation sends back is what was generated, token by token, and the prefix cache matches over its turns.

Usage: model.py FOLDER
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "sglang_cpu"))

VOCABULARY = 151_936
SPECIAL_IDS = range(97, 101)  # where tiny_model has them too: after the ASCII characters

# Letters and signs that stand alone: none combines with its neighbour, is white space, has another normal form, or is U+FFFD,
# which SGLang takes for half a character and waits for the rest. Assigned for good, so the same with every Unicode version.
BLOCKS = (
    (0x4E00, 0x9FA5),  # CJK
    (0x3400, 0x4DB5),  # CJK extension A
    (0xAC00, 0xD7A3),  # Hangul syllables
    (0x20000, 0x2A6D6),  # CJK extension B
    (0x2A700, 0x2B734),  # C
    (0x2B820, 0x2CEA1),  # E
    (0xF0000, 0xFFFFD),  # private use: never anything else
)
# As published for Qwen3-8B.
CONFIGURATION: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "vocab_size": VOCABULARY,
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "hidden_act": "silu",
    "attention_bias": False,
    "attention_dropout": 0.0,
    "max_position_embeddings": 40960,
    "max_window_layers": 36,
    "use_sliding_window": False,
    "sliding_window": None,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1e6,
    "rope_scaling": None,
    "initializer_range": 0.02,
    "tie_word_embeddings": False,
    "use_cache": True,
    "torch_dtype": "bfloat16",
}
CONTEXT_TOKENS: int = CONFIGURATION["max_position_embeddings"]


def _characters() -> Iterator[str]:
    yield from (chr(code) for code in range(32, 127))
    yield from "\n\t"
    for first, last in BLOCKS:
        yield from (chr(code) for code in range(first, last + 1))


def vocabulary(special: list[str]) -> dict[str, int]:
    """Token -> id: every id of the model once, the special ones where they are in the small models."""
    ordinary = VOCABULARY - len(special)
    characters = list(itertools.islice(_characters(), ordinary))
    assert len(characters) == ordinary
    first = SPECIAL_IDS.start
    return {token: i for i, token in enumerate([*characters[:first], *special, *characters[first:]])}


def build(folder: Path) -> None:
    """Write tokenizer, configuration and chat template into `folder`, which is made if need be."""
    import tiny_model  # noqa: PLC0415 - needs `tokenizers`
    from tokenizers import AddedToken, Tokenizer, decoders, models  # noqa: PLC0415 - the same

    ids = vocabulary(tiny_model.SPECIAL)
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=[], unk_token=tiny_model.UNKNOWN))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in tiny_model.SPECIAL])

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    end, text_end = ids[tiny_model.END], ids[tiny_model.END_OF_TEXT]
    files: dict[str, Any] = {
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": CONTEXT_TOKENS,
            "eos_token": tiny_model.END,
            "pad_token": tiny_model.END_OF_TEXT,
            "unk_token": tiny_model.UNKNOWN,
            "bos_token": None,
            "add_bos_token": False,
            "clean_up_tokenization_spaces": False,
            "chat_template": tiny_model.CHAT_TEMPLATE,
        },
        "config.json": {**CONFIGURATION, "bos_token_id": text_end, "eos_token_id": end},
        "generation_config.json": {"eos_token_id": [end, text_end], "do_sample": True, "temperature": 1.0},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=1), encoding="utf-8")


if __name__ == "__main__":
    build(Path(sys.argv[1]))
