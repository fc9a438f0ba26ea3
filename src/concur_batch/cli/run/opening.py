"""What the user has to know of a segment before it runs: where it is kept, and what of its engines and models is not as one may think."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from concur_batch.agent.recorded import REPLAY
from concur_batch.agent.replay import History
from concur_batch.cli import parts
from concur_batch.config import Config
from concur_batch.jobs.job import Job
from concur_batch.lane import Lane
from concur_batch.results.visible import one_line

_NAME = 100  # characters of a model's, at most


def lines(run_dir: Path, config: Config, job: Job, history: History, lanes: Sequence[Lane]) -> Iterator[str]:
    """In the order in which they are told, of lanes whose engines have answered. `history`: of the earlier segments."""
    yield f"run directory: {run_dir}"
    for lane in lanes:
        if lane.engine.capabilities.kind == "sim":
            yield f"engine: {_simulated(lane.name, config)}"
        if lane.note is not None:
            yield f"{lane.name}: {lane.note}"
    for note in (*_unlisted(lanes, job), *_other_models(lanes, history)):
        yield f"note: {note}"


def _simulated(name: str, config: Config) -> str:
    if name == parts.SIM and "engine.urls" not in config.sources:
        return (
            "none was named, so the embedded one replays each task's script; no model is run. "
            f"It simulates {parts.DEFAULT_PROFILE}. Name a server with --engine URL."
        )
    if name == parts.SIM:
        return f"{name} is embedded and simulates {parts.DEFAULT_PROFILE}: it replays each task's script; no model is run."
    if parts.is_simulated(name):
        return f"{name} is simulated: it replays each task's script; no model is run."
    if config.agent.name == REPLAY:
        return f"{name} is simulated: its replies are filler text of the recorded lengths; no model is run."
    return f"{name} is simulated: it replays each task's script, or makes filler text where there is none; no model is run."


def _unlisted(lanes: Sequence[Lane], job: Job) -> Iterator[str]:
    """What to say of models that rows ask for, and that no engine lists."""
    engines = [lane.engine.capabilities for lane in lanes]
    names = [model for model in job.models if not any(can.may_serve(model) for can in engines)]
    if names:
        count = sum(job.models[name] for name in names)
        rows = "1 row asks" if count == 1 else f"{count:,} rows ask"
        more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
        which = ", ".join(one_line(name, _NAME) for name in names[:3]) + more
        yield f"{rows} for {which}, which no engine lists; a server may refuse that, or answer with what it has loaded, as SGLang does"


def _other_models(lanes: Sequence[Lane], history: History) -> Iterator[str]:
    """What to say of rollouts that go on with a model that they did not begin with."""
    engines = [lane.engine.capabilities for lane in lanes]
    begun = Counter(past.started.model for past in history.unfinished.values())
    for model, count in begun.items():
        if model in history.models.values() and not any(can.may_serve(model) for can in engines):
            rollouts = "1 rollout" if count == 1 else f"{count} rollouts"
            others = " or ".join(dict.fromkeys(lane.model for lane in lanes))
            yield (
                f"{rollouts} began with {model}, which no engine lists now, and will go on with {others}, unless the row names it; "
                f"if that is not meant, stop, and resume where {model} is served"
            )
