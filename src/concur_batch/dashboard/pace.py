"""How fast the run goes and when it may end. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from concur_batch.records import Sampled
from concur_batch.state import EngineView, RunState

SPAN_S = 15.0  # what "now" means for rates
OUTLOOK_S = 120.0  # speed over the last two minutes decides the estimated end
LATE_S = 5.0  # samples come about once a second; later than this the silence itself counts as no progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Per second."""

    steps: float
    generated_tokens: float
    prompt_tokens: float


def recent(engine: EngineView, now: float, span_s: float = SPAN_S) -> Iterator[Sampled]:
    """Samples of the last seconds, newest first; those of an earlier segment (its clock began anew) left out."""
    before = now
    for sample in reversed(engine.samples):
        if not now - span_s < sample.t <= before:
            return
        yield sample
        before = sample.t


def current(state: RunState, now: float, span_s: float = SPAN_S) -> Pace | None:
    """Over the last seconds, all engines together; None: no sample yet."""
    steps = generated = prompt = 0.0
    told = False
    for engine in state.engines.values():
        samples = list(recent(engine, now, span_s))
        if not samples or not state.segment_totals.steps:
            continue
        earlier = engine.samples[-len(samples) - 1].t if len(engine.samples) > len(samples) else 0.0
        start = earlier if earlier <= samples[-1].t else 0.0  # else it is another segment's
        newest = samples[0].t
        seconds = (now if now - newest > LATE_S else newest) - start
        if seconds > 0:
            told = True
            steps += sum(sample.steps for sample in samples) / seconds
            generated += sum(sample.generated_tokens for sample in samples) / seconds
            prompt += sum(sample.prompt_tokens for sample in samples) / seconds
    return Pace(steps=steps, generated_tokens=generated, prompt_tokens=prompt) if told else None


def overall(state: RunState, now: float) -> Pace | None:
    """Since the present segment opened; None: it has only just."""
    totals = state.segment_totals
    if not now > 0:
        return None
    return Pace(
        steps=totals.steps / now, generated_tokens=totals.completion_tokens / now, prompt_tokens=totals.prompt_tokens / now
    )


def left_s(state: RunState, now: float) -> float | None:
    """Seconds to the estimated end; None where nothing can be said.

    Steps still to do, at the speed of the last minutes. How many a rollout takes is the mean over those that ended and those that
    live, these taken to be half way: who ends first has taken few steps, and would make it too low.
    """
    pace = current(state, now, OUTLOOK_S) or overall(state, now)
    ended = len(state.ended)
    if not ended or pace is None or not pace.steps > 0 or state.draining is not None or state.finished is not None:
        return None
    done_by_live = [live.step for live in state.live.values()]
    mean = max(1.0, (state.totals.steps + sum(done_by_live)) / (ended + len(done_by_live)))
    left = state.unstarted * mean + sum(max(1.0, mean - steps) for steps in done_by_live)
    seconds = left / pace.steps
    return seconds if math.isfinite(seconds) else None
