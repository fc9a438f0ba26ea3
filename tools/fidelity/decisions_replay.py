"""Gives a simulated engine what a real one was given, iteration by iteration, and compares what the two decide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from decisions_recording import Admitted, Batch, Pool, Recording

from concur_batch.sim.burst import Burst
from concur_batch.sim.call import Call, FinishReason
from concur_batch.sim.core import EngineCore
from concur_batch.sim.cost import FittedCost
from concur_batch.sim.options import ServerOptions
from concur_batch.sim.replay import feed

# Decisions depend on the order of events only, and that is given by iteration, whatever an iteration takes.
COST = FittedCost(prefill_fixed_s=1.0, decode_fixed_s=1.0)


class WatchedCore(EngineCore):
    """Keeps its decisions as a recording has them."""

    def __init__(self, options: ServerOptions) -> None:
        super().__init__(options, COST)
        self.batches: list[Batch] = []
        self.retracted: list[tuple[int, str]] = []
        self.ended: list[tuple[int, str]] = []

    def _write(self, *decision: Any) -> None:
        match decision:
            case ("prefill", parts):
                pool = Pool(self.cache.free, self.cache.evictable, self.ratio.current)
                self.batches.append(Batch(tuple(Admitted(*part) for part in parts), pool))
            case ("retract", rid):
                self.retracted.append((len(self.batches), rid))

    def _end(self, call: Call, now: float, reason: FinishReason, message: str | None = None) -> None:
        self.ended.append((len(self.batches), call.rid))
        super()._end(call, now, reason, message)

    def _decoded(self, burst: Burst, steps: int) -> None:
        self.batches += [Batch(decoding=burst.size)] * steps
        super()._decoded(burst, steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Of a real engine's decisions with a simulated one's. Shares are of the real one's; 1.0 where it had none."""

    requests: int
    queued: int  # that had to wait for longer than to the end of the iteration under way
    iterations: int
    prefill_batches: int
    chunks: int  # admitted prompts, or parts of prompts
    retractions: int
    evicted_tokens: int  # the simulated one's
    prefill_identical: float  # in the same iteration the same requests with the same cached and new tokens
    prefill_in_order: float  # the same, but perhaps in another iteration
    pool_identical: float  # prefill batches that left the same free and evictable tokens, with the same ratio
    decode_identical: float  # decode steps of the same size in the same iteration
    retractions_identical: float  # the same victim before the same iteration
    ends_identical: float  # requests that ended with the same iteration
    first_difference: int | None  # iteration


def replayed(recording: Recording) -> WatchedCore:
    """A simulated engine that has been given the same."""
    core = WatchedCore(recording.options)
    feed(core, recording.arrivals, strict=False)
    return core


def compare(real: Recording, core: WatchedCore) -> Comparison:
    """Iteration by iteration."""
    pairs = list(zip(real.batches, core.batches, strict=False))
    prefills = [batch.admitted for batch in real.batches if batch.admitted]
    decodes = len(real.batches) - len(prefills)
    ours = [batch.admitted for batch in core.batches if batch.admitted]
    blocks = SequenceMatcher(None, prefills, ours, autojunk=False).get_matching_blocks()
    differing = (i for i, (one, other) in enumerate(pairs) if _decision(one) != _decision(other))
    return Comparison(
        requests=sum(arrival.kind == "add" for arrival in real.arrivals),
        queued=_queued(real),
        iterations=len(real.batches),
        prefill_batches=len(prefills),
        chunks=sum(map(len, prefills)),
        retractions=len(real.retracted),
        evicted_tokens=core.cache.evicted_total,
        prefill_identical=_share(sum(bool(a.admitted) and a.admitted == b.admitted for a, b in pairs), len(prefills)),
        prefill_in_order=_share(sum(block.size for block in blocks), len(prefills)),
        pool_identical=_share(sum(_same_pool(a.pool, b.pool) for a, b in pairs), len(prefills)),
        decode_identical=_share(sum(0 < a.decoding == b.decoding for a, b in pairs), decodes),
        retractions_identical=_share(_common(real.retracted, core.retracted), len(real.retracted)),
        ends_identical=_share(_common(real.ended, core.ended), len(real.ended)),
        first_difference=next(differing, None if len(real.batches) == len(core.batches) else len(pairs)),
    )


def _queued(real: Recording) -> int:
    started: dict[str, int] = {}
    for i, batch in enumerate(real.batches):
        for part in batch.admitted:
            started.setdefault(part.rid, i)
    return sum(
        started.get(arrival.call.rid, len(real.batches)) > arrival.iteration
        for arrival in real.arrivals
        if arrival.call is not None
    )


def _decision(batch: Batch) -> tuple[object, ...]:
    return batch.admitted, batch.decoding


def _same_pool(one: Pool | None, other: Pool | None) -> bool:
    if one is None or other is None:
        return False
    return one[:2] == other[:2] and abs(one.ratio - other.ratio) < 1e-6


def _common(some: Iterable[tuple[int, str]], others: Iterable[tuple[int, str]]) -> int:
    return sum((Counter(some) & Counter(others)).values())


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0
