"""Text where no turn says what to answer: the same for the same prompt, another for another, and of an exact length in tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from random import Random
from zlib import crc32

from concur_batch.sim.runs import Run

MARK = " (simulated filler)"  # behind the model's name, so that nobody takes it for an answer

_FEWEST, _SPREAD = 100, 400  # tokens of a reply whose length nobody has said

_WORDS = (
    *("amber", "basin", "cedar", "delta", "ember", "fable", "grain", "haven", "inlet", "jolly", "karst", "lemon", "maple"),
    *("north", "ocean", "pearl", "quiet", "river", "stone", "tulip", "umber", "vivid", "wheat", "xenon", "yield", "zebra"),
)
_WORD = 6  # characters of each, with its space

_ID_FIRST, _ID_COUNT = 1_000, 50_000  # token ids told for pieces of text; nobody but the client sees them


def seed_of(prompt: Iterable[Run]) -> int:
    """A number that equal prompts share."""
    digest = hashlib.blake2b(digest_size=8)
    for run in prompt:
        digest.update(f"{run.start}:{run.stop}:{run.chars:g}:".encode())
        digest.update(run.content.encode("utf-8", "surrogatepass"))
    return int.from_bytes(digest.digest())


def own_length(seed: int) -> int:
    """Tokens of a reply that may be as long as it likes."""
    return _FEWEST + seed % _SPREAD


def filler(tokens: int, chars_per_token: float, seed: int) -> str:
    """Text of exactly `tokens` tokens of so many characters (1 or more) each."""
    chars = int(tokens * chars_per_token)
    words = Random(seed).choices(_WORDS, k=chars // _WORD + 1)  # noqa: S311 - no secret
    return f"{seed:016x} {' '.join(words)}"[:chars]


def ids_of(text: str, tokens: int, chars_per_token: float) -> list[int]:
    """Token ids that stand for the first `tokens` tokens of the text: equal pieces, equal ids."""
    pieces = (text[int(i * chars_per_token) : int((i + 1) * chars_per_token)] for i in range(tokens))
    return [_ID_FIRST + crc32(piece.encode("utf-8", "surrogatepass")) % _ID_COUNT for piece in pieces]


def run_of_ids(ids: Sequence[int]) -> Run:
    """Token ids as a run: each is one character, compared as text is. Ids must be below 0x110000."""
    return Run("".join(map(chr, ids)), 0, len(ids), 1.0)
