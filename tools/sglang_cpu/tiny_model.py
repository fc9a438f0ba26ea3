"""Writes the folder of a small Qwen3-style model without weights, to be served with `--load-format dummy`.

The tokenizer has one token per ASCII character and no merges: decoding and encoding again gives the same ids even for the
gibberish of random weights, so the prefix cache matches over the turns of a conversation as it does with a real model, and
token counts are character counts plus the chat template.

Two sizes: `tiny` is as fast as can be; in `ffn` nearly all of the time goes into the feed-forward layers, which a cached prefix
saves (attention it does not, see README.md).

Usage: tiny_model.py FOLDER [tiny|ffn]
"""

import json
import sys
from pathlib import Path
from typing import NamedTuple

from tokenizers import AddedToken, Tokenizer, decoders, models


class Size(NamedTuple):
    """What the time of a forward pass depends on."""

    hidden: int
    ffn: int
    heads: int
    kv_heads: int


SIZES = {"tiny": Size(hidden=128, ffn=256, heads=4, kv_heads=2), "ffn": Size(hidden=512, ffn=8192, heads=2, kv_heads=1)}
LAYERS, HEAD = 2, 32
UNKNOWN, END_OF_TEXT, START, END = SPECIAL = ["<unk>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"]  # ids 97 to 100

# ChatML as Qwen writes it: a conversation that grows by a turn keeps its former text as a prefix.
CHAT_TEMPLATE = """\
{%- macro open(role) %}{{ '<|im_start|>' ~ role ~ '\\n' }}{% endmacro -%}
{%- set told = messages[0].role == 'system' -%}
{%- set system = messages[0].content if told else '' -%}
{%- if system or tools -%}
  {{- open('system') ~ system -}}
  {%- if tools -%}
    {{- '\\n# Tools\\n<tools>' -}}
    {%- for tool in tools %}{{ '\\n' ~ (tool | tojson) }}{% endfor -%}
    {{- '\\n</tools>' -}}
  {%- endif -%}
  {{- '<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in (messages[1:] if told else messages) -%}
  {%- if message.role == 'tool' -%}
    {{- open('user') ~ '<tool_response>\\n' ~ message.content ~ '\\n</tool_response>' -}}
  {%- else -%}
    {{- open(message.role) ~ (message.content or '') -}}
    {%- for call in message.tool_calls or [] -%}
      {%- set function = call.function -%}
      {%- set arguments = function.arguments if function.arguments is string else function.arguments | tojson -%}
      {{- '\\n<tool_call>\\n{"name": "' ~ function.name ~ '", "arguments": ' ~ arguments ~ '}\\n</tool_call>' -}}
    {%- endfor -%}
  {%- endif -%}
  {{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt %}{{ open('assistant') }}{% endif -%}
"""


def build(folder: Path, size: Size) -> None:
    """Write tokenizer, configuration and chat template into `folder`, which is made if need be."""
    characters = [chr(code) for code in range(32, 127)] + ["\n", "\t"]
    vocabulary = {character: i for i, character in enumerate([*characters, UNKNOWN])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token=UNKNOWN))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIAL])
    ids = {token: tokenizer.token_to_id(token) for token in SPECIAL}
    longest = 131072  # tokens; the server's --context-length sets the bound in force

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    files = {
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": longest,
            "eos_token": END,
            "pad_token": END_OF_TEXT,
            "unk_token": UNKNOWN,
            "bos_token": None,
            "add_bos_token": False,
            "clean_up_tokenization_spaces": False,
            "chat_template": CHAT_TEMPLATE,
        },
        "config.json": {
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "vocab_size": tokenizer.get_vocab_size(),
            "hidden_size": size.hidden,
            "intermediate_size": size.ffn,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": size.heads,
            "num_key_value_heads": size.kv_heads,
            "head_dim": HEAD,
            "hidden_act": "silu",
            "attention_bias": False,
            "attention_dropout": 0.0,
            "max_position_embeddings": longest,
            "max_window_layers": LAYERS,
            "use_sliding_window": False,
            "sliding_window": None,
            "rms_norm_eps": 1e-6,
            "rope_theta": 1e6,
            "rope_scaling": None,
            "initializer_range": 0.02,
            "tie_word_embeddings": False,
            "use_cache": True,
            "bos_token_id": ids[END_OF_TEXT],
            "eos_token_id": ids[END],
            "torch_dtype": "bfloat16",
        },
        "generation_config.json": {"eos_token_id": [ids[END], ids[END_OF_TEXT]], "do_sample": True, "temperature": 1.0},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=1), encoding="utf-8")


if __name__ == "__main__":
    build(Path(sys.argv[1]), SIZES[sys.argv[2] if len(sys.argv) > 2 else "tiny"])
