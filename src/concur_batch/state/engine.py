"""One engine as the records tell of it: what it is, what was seen of it, what its controller decided."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from msgspec.structs import replace

from concur_batch import records as r
from concur_batch.errors import unnamed

HISTORY = 240  # samples kept per engine, for sparklines and recent speeds
MOVES = 12  # changes of the limit kept
_JOINED_S = 15.0  # changes of one kind that follow each other as closely are one
_WAYS = {"grow": 1, "cut": -1, "trim": -1}  # a limit on tokens also goes to and fro for other reasons than the one that is given
_DRIFT = 0.05  # of it; less is no move
_EVIDENCE = 10  # samples before a change that tell why


@dataclass(slots=True, kw_only=True)
class Move:
    """The limit went from one to another, at once or in small steps of one kind; and what the samples before had told."""

    before: r.Decided | None
    after: r.Decided
    locked: float | None = None
    hit: float | None = None
    miss: float | None = None


class Reach(NamedTuple):
    """Where a limit went."""

    first: int
    low: int
    high: int


@dataclass(slots=True, kw_only=True)
class EngineView:
    """`took` records of each kind; read the attributes."""

    name: str
    seen: r.EngineSeen | None = None
    lost: r.EngineLost | None = None  # while it is away
    sample: r.Sampled | None = None
    decision: r.Decided | None = None
    moved: r.Decided | None = None  # the last decision that changed the limit
    samples: deque[r.Sampled] = field(default_factory=lambda: deque(maxlen=HISTORY))
    moves: deque[Move] = field(default_factory=lambda: deque(maxlen=MOVES))
    queue_s: float = 0.0  # requests queued x seconds, over the run
    flight_s: float = 0.0  # requests queued or running x seconds
    window: Reach | None = None  # of all limits on agents decided so far; None: there was none
    tokens: Reach | None = None  # of all limits on tokens

    def took_seen(self, x: r.EngineSeen) -> None:
        """Under another policy than before (a resumed run) it counts anew where limits went."""
        if self.seen is not None and self.seen.policy != x.policy:
            self.window = self.tokens = None
        self.seen = x

    def took_lost(self, x: r.EngineLost) -> None:
        """Told again while it is away, it is so since the first."""
        self.lost = x if self.lost is None else replace(x, t=self.lost.t)

    def took_segment(self) -> None:
        """It has a part in another segment, which has its own zero of time."""
        self.lost = self.sample = self.decision = self.moved = None
        self.samples.clear()
        self.moves.clear()

    def took_sample(self, x: r.Sampled) -> None:
        """One interval."""
        before = self.sample
        if before is not None and x.queued_requests is not None:
            seconds = x.t - before.t
            if seconds > 0:
                self.queue_s += x.queued_requests * seconds
                self.flight_s += (x.queued_requests + (x.running_requests or 0)) * seconds
        self.sample = x
        self.samples.append(x)

    def took_decision(self, x: r.Decided) -> None:
        """A limit, mostly the same as before."""
        moved = self.moved
        if moved is None or moved.agents != x.agents or moved.requests != x.requests or _drifted(moved.tokens, x.tokens):
            self.moved = x
            self._move(x)
        self.decision = x
        self.window, self.tokens = _reached(self.window, x.agents), _reached(self.tokens, x.tokens)

    def _move(self, x: r.Decided) -> None:
        last = self.moves[-1] if self.moves else None
        before = None if last is None else last.after
        if last is not None and before is not None:
            way = _way(before, x)
            if (
                (not way or way != _WAYS.get(x.reason, 0))
                and before.tokens
                and x.tokens
                and abs(x.tokens - before.tokens) <= _DRIFT * before.tokens
            ):
                return
            if way and before.reason == x.reason and x.t - before.t <= _JOINED_S and way == _way(last.before, before):
                last.after = x
                return
        told = list(islice(reversed(self.samples), _EVIDENCE))
        locked = told[0].locked if told else None
        self.moves.append(Move(before=before, after=x, locked=locked, hit=hit(told), miss=miss(told)))

    @property
    def policy(self) -> str:
        """The controller's name, without what is behind the colon; empty where it is not told."""
        return self.seen.policy.partition(":")[0] if self.seen is not None else ""

    @property
    def capacity_tokens(self) -> int | None:
        """What its pool holds; None: not told."""
        if self.sample is not None and self.sample.capacity_tokens:
            return self.sample.capacity_tokens
        return self.seen.capacity_tokens if self.seen is not None else None

    @property
    def away(self) -> str:
        """What became of it, without its name; empty while it answers."""
        return "" if self.lost is None else unnamed(self.lost.message, self.name)


def hit(samples: list[r.Sampled]) -> float | None:
    """Cached / prompt tokens over the samples that tell both; None: none does."""
    told = [sample for sample in samples if sample.cached_tokens is not None]
    prompt = sum(sample.prompt_tokens for sample in told)
    return sum(sample.cached_tokens or 0 for sample in told) / prompt if prompt > 0 else None


def miss(samples: list[r.Sampled]) -> float | None:
    """Missed / history tokens over the samples that tell both; None: none does."""
    told = [sample for sample in samples if sample.missed_tokens is not None]
    history = sum(sample.history_tokens for sample in told)
    return sum(sample.missed_tokens or 0 for sample in told) / history if history > 0 else None


def limits_agents(decision: r.Decided, policy: str, max_agents: int) -> bool:
    """Whether its limit on agents is the controller's own, and not what the whole run may have."""
    allows_all = policy in ("off", "forecast") or decision.reason in ("off", "step-aside")
    limits_others = decision.tokens is not None or decision.requests is not None
    return decision.agents is not None and (decision.agents < max_agents or not (limits_others or allows_all))


def _reached(before: Reach | None, limit: int | None) -> Reach | None:
    if limit is None:
        return before
    return Reach(limit, limit, limit) if before is None else Reach(before.first, min(before.low, limit), max(before.high, limit))


def _drifted(before: int | None, now: int | None) -> bool:
    """Whether a limit on tokens is another: these drift all the time, so that it has to be by more than a hundredth."""
    if before is None or now is None:
        return before is not now
    return before != now and abs(now - before) > 0.01 * before


def _way(before: r.Decided | None, after: r.Decided) -> int:
    """1: the limit rose, -1: it fell, 0: it became one of another kind."""
    if before is None:
        return 0
    pairs = ((before.tokens, after.tokens), (before.agents, after.agents), (before.requests, after.requests))
    for old, new in pairs:
        if old != new:
            return 0 if old is None or new is None else 1 if new > old else -1
    return 0
