"""What the tools of a run look like to its model, as it is kept with the run, and how that has changed when it is resumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from concur_batch.jobs.fingerprint import fingerprint
from concur_batch.jobs.job import Job
from concur_batch.toolbox.base import FINISH_SPEC, Toolbox

Seen: TypeAlias = dict[str, dict[str, str]]  # by tool: fingerprints of its parts


def seen(job: Job, toolbox: Toolbox) -> Seen:
    """The tools that the job's tasks offer, in few digits each."""
    return {
        spec.name: {
            "description": fingerprint({"text": spec.description}),
            "arguments": fingerprint(spec.parameters),
        }
        for spec in toolbox.specs
        if spec.name != FINISH_SPEC.name and job.uses_tool((spec.name,), toolbox.offered)
    }


def notes(toolbox: Toolbox) -> list[str]:
    """What to say of a tool of the user's that stands behind a built-in one, as runs of earlier versions may have it."""
    if FINISH_SPEC.name not in toolbox.offered:
        return []
    told = f"tool `{FINISH_SPEC.name}` of --tools: the model is shown the built-in one, and a call of it ends the task"
    return [f"{told}, as before; a new run refuses such a tool"]


def changes(saved: object, now: Seen, offered: tuple[str, ...]) -> list[str]:
    """A note that names the tools that are no longer as they were saved; none where nothing was saved, or nothing has changed."""
    if not isinstance(saved, dict):
        return []
    named = [f"{name} ({how})" for name, how in _changed(saved, now, offered)]
    if not named:
        return []
    text = f"tools are no longer as the model saw them before: {', '.join(named)}"
    return [f"{text}; rollouts go on with them as they are now, results that are there stay as they are"]


def _changed(saved: Mapping[Any, Any], now: Seen, offered: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name, before in saved.items():
        if name not in now:
            yield name, "no longer offered"
        elif isinstance(before, dict):
            parts = [part for part, digits in now[name].items() if before.get(part) != digits]
            if parts:
                yield name, f"{' and '.join(parts)} changed"
    for name in now:
        if name not in saved and name in offered:  # others are named by rows that were added
            yield name, "new"
