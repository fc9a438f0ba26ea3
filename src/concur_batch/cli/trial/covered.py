"""What a comparison that was not run to the end says of its rows: which seeds they are over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from concur_batch.cli.trial.entries import Entries, Figures


def covered(entries: Entries, rows: Sequence[Figures]) -> Iterator[str]:
    """A line for each thing one has to know of these rows; none where all was run."""
    left = entries.left_to_run()
    if not left:
        return
    seeds, done = _by_controller(rows), _by_controller(entries.figures())
    absent = [name for name in dict.fromkeys(run.controller for run in left) if name not in done]
    if absent:
        yield f"not run to the end: {', '.join(absent)}"
    if len({frozenset(of) for of in seeds.values()}) > 1:
        each = ", ".join(f"{name} over {_listed(of)}" for name, of in seeds.items())
        yield f"the rows are not of the same agents, so they cannot be compared: {each}"
    elif len(entries.seeds) > 1:
        more = [f"{name} under {_listed(extra)}" for name, of in done.items() if (extra := of - seeds[name])]
        yield f"every row is over {_listed(next(iter(seeds.values())))}" + (f"; left out: {', '.join(more)}" if more else "")


def _by_controller(runs: Sequence[Figures]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for run in runs:
        found.setdefault(run["controller"], set()).add(run["seed"])
    return found


def _listed(seeds: set[int]) -> str:
    """`seed 3`, `seeds 0..2, 5`."""
    ends = [(seed, next(last for last in range(seed, max(seeds) + 1) if last + 1 not in seeds)) for seed in sorted(seeds)]
    spans = [(first, last) for first, last in ends if first - 1 not in seeds]
    told = ", ".join(str(first) if first == last else f"{first}..{last}" for first, last in spans)
    return f"seed{'s' if len(seeds) > 1 else ''} {told}"
