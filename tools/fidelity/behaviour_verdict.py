"""Whether simulated runs behave as the real ones did: makespans, cached shares, the knee of the sweep, the order of policies."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any, NamedTuple

KNEE_MISSED = 0.1  # share of history: where the cache no longer holds what the window lets in
MAKESPAN_WITHIN = 0.10
KNEE_WITHIN = 0.10
HIT_WITHIN = 0.03

Figures = Mapping[str, Any]
"""Of one run, with `makespan_s`, `hit_rate`, `miss_rate` and `finished` among them."""


class Policy(NamedTuple):
    """One controller: its real runs, and the twin of each."""

    name: str
    makespan_s: float  # median of the real runs
    least_s: float
    most_s: float
    fitted_s: float  # median of the twins with the costs as fitted
    paced_s: float  # and of those at the speed that the machine had in each run
    error: float  # median over the runs: makespan of the paced twin / real - 1
    least_error: float
    most_error: float
    hit: float  # median cached share of the real runs
    least_hit: float
    most_hit: float
    hit_error: float  # median over the runs: of the paced twin - real
    miss: float  # medians of the missed share of the history
    paced_miss: float

    @property
    def fitted_error(self) -> float:
        """Of the makespan with the costs as fitted; above 0: the simulation is slower."""
        return self.fitted_s / self.makespan_s - 1


def policy(name: str, real: Sequence[Figures], fitted: Sequence[Figures], paced: Sequence[Figures]) -> Policy:
    """Three sequences in the order of the runs."""
    times = [run["makespan_s"] for run in real]
    hits = [run["hit_rate"] for run in real]
    errors = [twin["makespan_s"] / run["makespan_s"] - 1 for run, twin in zip(real, paced, strict=True)]
    return Policy(
        name=name,
        makespan_s=statistics.median(times),
        least_s=min(times),
        most_s=max(times),
        fitted_s=statistics.median(run["makespan_s"] for run in fitted),
        paced_s=statistics.median(run["makespan_s"] for run in paced),
        error=statistics.median(errors),
        least_error=min(errors),
        most_error=max(errors),
        hit=statistics.median(hits),
        least_hit=min(hits),
        most_hit=max(hits),
        hit_error=statistics.median(twin["hit_rate"] - run["hit_rate"] for run, twin in zip(real, paced, strict=True)),
        miss=statistics.median(run["miss_rate"] for run in real),
        paced_miss=statistics.median(run["miss_rate"] for run in paced),
    )


def knee(missed: Mapping[int, float]) -> float | None:
    """The window at which the missed share of the history passes 10 %, between those of the sweep by line. None: nowhere."""
    windows = sorted(missed)
    for low, high in pairwise(windows):
        if missed[low] <= KNEE_MISSED < missed[high]:
            return low + (high - low) * (KNEE_MISSED - missed[low]) / (missed[high] - missed[low])
    return None


def order_kept(policies: Sequence[Policy]) -> tuple[int, int]:
    """(pairs in the same order on both sides, all pairs), over the pairs that the real runs tell apart: spreads that do not overlap."""
    told = [(a, b) for a, b in combinations(policies, 2) if a.most_s < b.least_s or b.most_s < a.least_s]
    kept = sum((a.makespan_s < b.makespan_s) == (a.paced_s < b.paced_s) for a, b in told)
    return kept, len(told)


def compared(runs: Sequence[Figures]) -> list[str]:
    """How fast each controller was beside the first, round by round: geometric mean, least and most."""
    times = {(run["controller"], run["run"]): run["makespan_s"] for run in runs}
    first, *others = dict.fromkeys(controller for controller, _ in times)
    lines = []
    for name in others:
        ratios = [times[first, number] / seconds for (controller, number), seconds in times.items() if controller == name]
        mean = statistics.geometric_mean(ratios)
        lines.append(f"{name}: {mean:.3f} times as fast as {first} ({min(ratios):.3f}-{max(ratios):.3f}, round by round)")
    return lines


def windows(policies: Sequence[Policy]) -> dict[int, Policy]:
    """The sweep."""
    return {int(each.name.partition(":")[2]): each for each in policies if each.name.startswith("fixed:")}


def table(policies: Sequence[Policy]) -> list[str]:
    """Markdown: medians, with their spreads."""
    lines = [
        "| controller | makespan, real, s | costs as fitted | at each run's own speed | cached, real | simulated |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for p in policies:
        real = f"{p.makespan_s:.1f} ({p.least_s:.1f}-{p.most_s:.1f})"
        fitted = f"{p.fitted_s:.1f}, {p.fitted_error:+.1%}"
        paced = f"{p.error:+.1%} ({p.least_error:+.1%} to {p.most_error:+.1%})"
        hit = f"{p.hit:.3f} ({p.least_hit:.3f}-{p.most_hit:.3f})"
        lines.append(f"| `{p.name}` | {real} | {fitted} | {paced} | {hit} | {p.hit_error:+.3f} |")
    return lines


def verdict(policies: Sequence[Policy]) -> list[str]:
    """One line per thing asked, with what was found."""
    sweep = windows(policies)
    real = knee({n: p.miss for n, p in sweep.items()})
    simulated = knee({n: p.paced_miss for n, p in sweep.items()})
    kept, pairs = order_kept(policies)
    worst = max(policies, key=lambda p: abs(p.error))
    furthest = max(policies, key=lambda p: abs(p.hit_error))
    within = sum(abs(p.error) <= MAKESPAN_WITHIN for p in policies)
    near = sum(abs(p.hit_error) <= HIT_WITHIN for p in policies)
    found = "knee: not within the sweep on both sides"
    if real is not None and simulated is not None:
        found = (
            f"knee (10 % of the history missed): real window {real:.1f}, simulated {simulated:.1f}: {simulated / real - 1:+.1%}"
        )
    return [
        f"{found}; wanted within {KNEE_WITHIN:.0%}",
        f"makespan: {within} of {len(policies)} within {MAKESPAN_WITHIN:.0%}; worst {worst.name}: {worst.error:+.1%}",
        f"cached share: {near} of {len(policies)} within {HIT_WITHIN}; furthest {furthest.name}: {furthest.hit_error:+.3f}",
        f"order: {kept} of the {pairs} pairs that the real runs tell apart are in the same order",
    ]
