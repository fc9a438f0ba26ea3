"""How fast the run goes and when it may end. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from concur_batch.records import Sampled
from concur_batch.state import EngineView, RunState

SPAN_S = 15.0  # what "now" means for rates
OUTLOOK_S = 120.0  # speed over the last two minutes decides the estimated end
_ENOUGH, _ENOUGH_SHARE = 5, 0.1  # rollouts that have ended, before an end is estimated: so many, or such a share of all
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

    Steps still to do, at the speed of the last minutes, but no less than who has most of them ahead takes for them one after the
    other. How many a rollout takes is the mean over those that ended and those that live, these taken to be half way: who ends
    first has taken few steps, and would make it too low. Nothing is said before some have ended, nor when nothing has happened for
    longer than was said to be left, nor while rollouts wait for an engine that is lost.
    """
    pace = current(state, now, OUTLOOK_S) or overall(state, now)
    ended = len(state.ended)
    if pace is None or not pace.steps > 0 or state.draining is not None or state.finished is not None:
        return None
    lost = {engine.name for engine in state.engines.values() if engine.lost is not None}
    if lost and (lost.issuperset(state.engines) or any(live.engine in lost for live in state.live.values())):
        return None
    if ended < max(1, min(_ENOUGH, state.rollouts * _ENOUGH_SHARE)):
        return None
    done_by_live = [live.step for live in state.live.values()]
    mean = max(1.0, (state.totals.steps + sum(done_by_live)) / (ended + len(done_by_live)))
    ahead = [max(1.0, mean - steps) for steps in done_by_live]
    longest = max(ahead, default=0.0) if not state.unstarted else mean
    seconds = max((state.unstarted * mean + sum(ahead)) / pace.steps, longest * _step_s(state))
    return seconds if math.isfinite(seconds) and seconds >= max(1.0, _silent_s(state, now)) else None


def _step_s(state: RunState) -> float:
    """What a step takes its agent, on average."""
    totals = state.totals
    return (totals.model_s + totals.tool_s) / totals.steps if totals.steps > 0 else 0.0


def _silent_s(state: RunState, now: float) -> float:
    """Since the newest reply, as samples tell; 0 where they tell of none."""
    newest = (
        next((sample.t for sample in reversed(engine.samples) if sample.steps > 0), None) for engine in state.engines.values()
    )
    told = [t for t in newest if t is not None and t <= now]
    return now - max(told) if told else 0.0
