"""What load an engine is given so that its times tell the coefficients of a cost model apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

BURST_OUTPUT = 48  # tokens per request: as many decode steps, of which the ones beside a prefill are not counted
_COLD = (64, 256, 1024, 4096, 16_384)
_ADDED = (64, 512, 2048)
_BATCHES = (1, 4, 16, 64)
_SHORT = 32
_LONGEST = 32_768  # tokens in one request or burst: enough to see attention, and soon prefilled


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the engine takes, in tokens; `requests` run at once."""

    context: int
    pool: int
    requests: int

    @property
    def prompt(self) -> int:
        """The longest prompt to try: token counts of texts are estimates, and others may need room too."""
        return max(1, min(int(0.75 * self.context) - BURST_OUTPUT, int(0.6 * self.pool), _LONGEST))


class Conversation(NamedTuple):
    """Requests one after another, each the text of the one before and so many tokens more; the first finds nothing cached."""

    added: tuple[int, ...]


class Burst(NamedTuple):
    """Equal requests at once, each with a prompt of its own."""

    batch: int
    prompt: int


def conversations(limits: Limits) -> list[Conversation]:
    """For prefill: new prompts from short to long, and short additions to long prompts."""
    longest = limits.prompt
    firsts = [tokens for tokens in _COLD if tokens <= longest]
    if not firsts or longest > 1.5 * firsts[-1]:
        firsts.append(longest)
    return [Conversation((first, *_additions(first, longest))) for first in firsts]


def _additions(first: int, longest: int) -> list[int]:
    """No longer than the first, and together within the prompt's limit."""
    added: list[int] = []
    for tokens in _ADDED:
        if tokens <= first and first + sum(added) + tokens <= 1.2 * longest:
            added.append(tokens)
    return added


def bursts(limits: Limits) -> list[Burst]:
    """For decode: few and many requests, with short and long contexts."""
    found: list[Burst] = []
    for batch in _BATCHES:
        if batch > limits.requests:
            break
        room = min(limits.prompt, int(0.6 * limits.pool) // batch - BURST_OUTPUT, 2 * _LONGEST // batch)
        found += [Burst(batch, prompt) for prompt in dict.fromkeys((min(_SHORT, room), room // 4, room)) if prompt > 0]
    return found


def chunks(new: int, past: int, chunk: int) -> tuple[tuple[int, int], ...]:
    """The prefill iterations of one request alone, as (new, past), the chunk size in tokens."""
    return tuple((min(chunk, new - done), past + done) for done in range(0, new, chunk))
