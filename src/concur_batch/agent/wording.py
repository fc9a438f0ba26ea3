"""Text of a wanted number of tokens, on a server whose tokenizer and chat template are not known.

The words have four letters each: of most vocabularies each is one token with the space before it, and of a tokenizer that has
a token per character each is five. So the tokens of a text go with its words, and four questions to the server tell the rest.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random

from concur_batch.engine.base import Engine, Request
from concur_batch.errors import EngineFailed
from concur_batch.task import Message

_LISTED = """
able area army away back ball band bank base best bill bird blue boat body book born both call came camp card care case cell
city club cold come cost dark data date dead deal deep desk door down draw drop each east easy edge else even ever face fact
fair fall farm fast feel feet file fill film find fine fire firm fish five food foot form four free from full game gave girl
give glad goal gold good gray grew half hall hand hard hate have head hear heat held help here high hill hold home hope hour
huge idea into iron item join jump jury just keep kept kill kind king knew know lack lady land last late lead left less life
like line list live long look lord lose loss lost love made mail main make many mark mass meet mind miss moon more most move
much must name near neck need news next nice nine none nose note once only open oral over page paid pain pair park part pass
past path plan play poor post pull pure push race rain rate read real rest rich ride ring rise risk road rock role roof room
root rule safe said sale salt same sand save seat seem seen self sell send ship shop shot show sick side sign site size skin
slow snow soft soil some song soon sort soul spot star stay step stop such suit sure take talk tall team tell term test text
than that them then they thin this thus till time tiny told took tool tone tour town tree trip true turn type unit upon used
user vast very view vote wait walk wall want warm wash wave week well went were west what when whom wide wife wild will wind
wine wing wire wise wish with wood word wore work yard year
"""
WORDS = tuple(_LISTED.split())
_ALL = " ".join(WORDS)  # what the server is asked about: its mean over these is that of every text drawn from them


def text(words: int, key: str) -> str:
    """So many words, at least one; always the same for the same key, and others for another."""
    return " ".join(Random(key).choices(WORDS, k=max(1, words)))  # noqa: S311 - reproducible on purpose


@dataclass(frozen=True, slots=True)
class Wording:
    """What a server counts, in tokens."""

    per_word: float
    user: float  # of a prompt that is one user message, besides its words
    system: float  # that a system message adds, besides its words
    turn: float  # that a reply and the user message after it add, besides the reply's tokens and the message's words

    def text(self, tokens: float, key: str) -> str:
        """Of about so many tokens."""
        return text(round(tokens / self.per_word), key)

    def tokens(self, said: str) -> float:
        """Of a text from here."""
        return (said.count(" ") + 1) * self.per_word


async def measure(engine: Engine, model: str) -> Wording:
    """Ask the server to read four short conversations. Raises EngineError where it does not, or counts nothing."""
    once: Message = {"role": "user", "content": _ALL}
    asked: tuple[list[Message], ...] = (
        [once],
        [{"role": "user", "content": f"{_ALL} {_ALL}"}],
        [{"role": "system", "content": _ALL}, once],
        [once, {"role": "assistant", "content": _ALL}, once],
    )
    first, twice, led, continued = await asyncio.gather(
        *(_prompt_tokens(engine, model, messages, n) for n, messages in enumerate(asked))
    )
    words = twice - first  # tokens of _ALL
    if words <= 0:
        raise EngineFailed(f"{engine.name}: does not tell how many tokens a prompt has (usage.prompt_tokens)")
    return Wording(
        per_word=words / len(WORDS), user=first - words, system=led - first - words, turn=continued - first - 2 * words
    )


async def _prompt_tokens(engine: Engine, model: str, messages: list[Message], n: int) -> int:
    request = Request(
        rollout="wording", step=1, request_id=f"wording/{n}", model=model, messages=messages, sampling={"max_tokens": 1}
    )
    return (await engine.complete(request)).prompt_tokens
