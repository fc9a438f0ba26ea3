"""Random lives of requests on a prefix cache, told to two caches at once, which have to say the same."""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass, field

from state_ours import Ours

ALPHABET = "abc"  # so few that texts coincide for a while and then part


@dataclass(slots=True)
class Finding:
    """Sequences of one kind, and what differed."""

    what: str
    sequences: int = 0
    operations: int = 0
    evicted_tokens: int = 0
    differences: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Life:
    session: str | None
    left: int  # tokens to prefill
    to_say: int
    running: bool = True


class Sequence:
    """One, of so many operations; equal seeds, equal sequences."""

    def __init__(self, seed: str, theirs: object, ours: Ours, finding: Finding, *, page: int, sessions: bool) -> None:
        self._rng = random.Random(seed)
        self._seed, self._finding, self._page, self._sessions = seed, finding, page, sessions
        self._ours, self._theirs = ours, theirs
        self._lives: dict[str, _Life] = {}
        self._texts = ["".join(self._rng.choices(ALPHABET, k=3 * page))]
        self._serial = 0

    def run(self, operations: int) -> None:
        """Do it all; stops at the first difference, for what follows is no news."""
        deeds = (self._admit, self._prefill, self._decode, self._finish, self._retract, self._touch, self._evict, self._close)
        weights = (5, 6, 5, 3, 1, 2, 3, 1 if self._sessions else 0)
        self._finding.sequences += 1
        for _ in range(operations):
            self._rng.choices(deeds, weights)[0]()
            self._compare("sizes", self._theirs.sizes(), self._ours.sizes())
            if self._finding.differences and self._finding.differences[-1].startswith(f"{self._seed}:"):
                return
        for rid in list(self._lives):
            if self._lives[rid].running:
                self._each("retract", rid)
        while self._evict(most=10 * self._page):
            pass
        self._compare("sizes at the end", self._theirs.sizes(), self._ours.sizes())

    def _each(self, deed: str, *args: object) -> object:
        self._finding.operations += 1
        theirs = getattr(self._theirs, deed)(*args)
        ours = getattr(self._ours, deed)(*args)
        self._compare(f"{deed}{args}", theirs, ours)
        return ours

    def _compare(self, what: str, theirs: object, ours: object) -> None:
        if theirs != ours:
            self._finding.differences.append(f"{self._seed}: {what}: SGLang {_brief(theirs)}, simulator {_brief(ours)}")

    def _text(self, most: int) -> str:
        return "".join(self._rng.choices(ALPHABET, k=self._rng.randint(1, most)))

    def _old(self) -> str:
        text = self._rng.choice(self._texts)
        return text[: self._rng.randint(0, len(text))] if self._rng.random() < 0.5 else text

    def _some(self, *, prefilling: bool) -> str | None:
        found = [rid for rid, life in self._lives.items() if life.running and (life.left > 0) == prefilling]
        return self._rng.choice(found) if found else None

    def _admit(self) -> None:
        retracted = [rid for rid, life in self._lives.items() if not life.running]
        if retracted and self._rng.random() < 0.5:
            rid = self._rng.choice(retracted)
            life = self._lives[rid]
            life.running = True
            life.left = len(self._ours.text(rid)) - self._each("again", rid)
            return
        self._serial += 1
        rid, prompt, output = f"r{self._serial}", self._old() + self._text(6 * self._page), self._text(12 * self._page) + "abc"
        session = f"s{self._rng.randrange(6)}" if self._sessions and self._rng.random() < 0.8 else None
        self._texts.append(prompt + output)
        life = self._lives[rid] = _Life(session, 0, len(output))
        life.left = len(prompt) - self._each("admit", rid, prompt, output, session)

    def _prefill(self) -> None:
        rid = self._some(prefilling=True)
        if rid is None:
            return
        life = self._lives[rid]
        chunk = life.left
        if self._rng.random() < 0.4 and chunk > self._page:  # chunks end on a page
            at = len(self._ours.text(rid)) - life.left
            chunk = (at + self._rng.randint(1, chunk)) // self._page * self._page - at
            if chunk <= 0:
                return
        life.left -= chunk
        self._each("prefill", rid, chunk)
        life.to_say -= life.left == 0

    def _decode(self) -> None:
        rid = self._some(prefilling=False)
        if rid is not None and (life := self._lives[rid]).to_say > 1:
            steps = self._rng.randint(1, life.to_say - 1)
            life.to_say -= steps
            self._each("decode", rid, steps)

    def _finish(self) -> None:
        if (rid := self._some(prefilling=False)) is not None:
            self._each("finish", rid)
            del self._lives[rid]

    def _retract(self) -> None:
        if (rid := self._some(prefilling=False)) is not None and self._lives[rid].to_say > 1:  # each prefill says a token
            self._each("retract", rid)
            self._lives[rid].running = False

    def _touch(self) -> None:
        if text := self._old():
            self._each("touch", text)

    def _close(self) -> None:
        self._each("close", f"s{self._rng.randrange(6)}")

    def _evict(self, most: int = 0) -> int:
        evicted = self._each("evict", self._rng.randint(1, most or 8 * self._page))
        self._finding.evicted_tokens += len(evicted)
        return len(evicted)


def _brief(said: object) -> object:
    """Of evicted tokens: how far into which text each run of them lies."""
    if not isinstance(said, list):
        return said
    runs: list[tuple[str, int, int]] = []
    for text in said:
        if runs and len(text) == runs[-1][2] + 1:
            runs[-1] = (*runs[-1][:2], len(text))
        else:
            runs.append((f"{zlib.crc32(text.encode()):08x}", len(text), len(text)))
    return runs
