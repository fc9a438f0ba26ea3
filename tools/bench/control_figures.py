"""The arithmetic of control_suite.py: from runs to ratios, from ratios to means and worst cases, and what they ought to be. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean, geometric_mean
from typing import Any, NamedTuple

SUBJECT = "forecast"
"""The controller that the others are compared with."""

BOUND = {"tp2": 0.79, "tp4": 0.81, "tp8": 0.82}
BOUND_DEAD_FIRST = {"tp2": 0.82, "tp4": 0.85, "tp8": 0.86}
"""Shares of the lower bound to be reached where there is much more work than room."""

MEAN = {"aimd": 1.15, "fixed:auto": 1.04}
LEAST = {"aimd": 0.985, "fixed:auto": 0.97, "off": 0.98}
"""How fast to be, in times the speed of these: in the geometric mean over the cases, and in every one of them."""

THRASHING = "output 100"
"""The case in which no control at all does the most harm, and how fast to be there, in times the speed of `off`."""
THRASHING_LEAST = 3.6

DONE_P95, AGENT_P95 = 1.02, 1.15
"""At most, in times those of the best fixed window: when 95 % of the agents are done, and how long 95 % of them live at most."""

TOLERANCE = 0.03
"""Of a makespan against what is recorded."""


# One case ----------------------------------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """What came of one case: of each figure the mean over the seeds, and ratios of such means."""

    case: str
    makespan_s: Mapping[str, float]  # by controller
    share_of_bound: float | None = None  # the subject's: lower bound / makespan
    done_p95: float | None = None  # the subject's / that of the best fixed window
    agent_p95: float | None = None
    bulk: str | None = None  # the tensor parallelism of a case with much more work than room
    dead_first: bool = False  # measured against the bound alone

    def faster_than(self, other: str) -> float | None:
        """The other's makespan in times the subject's. None where one of them has not been run."""
        return against(self.makespan_s.get(other), self.makespan_s.get(SUBJECT))


def outcome(case: str, runs: Iterable[Mapping[str, Any]], *, bulk: str | None = None, dead_first: bool = False) -> Outcome:
    """From the runs of a case, at least one. Seeds that one of the controllers lacks are left out, unless that leaves none."""
    by: dict[str, dict[int, Mapping[str, Any]]] = {}
    for run in runs:
        by.setdefault(run["controller"], {})[run["seed"]] = run
    seeds = set.intersection(*(set(found) for found in by.values()))
    if not seeds and SUBJECT in by:
        by = {SUBJECT: by[SUBJECT]}
        seeds = set(by[SUBJECT])
    taken = {name: [found[seed] for seed in sorted(seeds)] for name, found in by.items() if seeds}
    subject, best = taken.get(SUBJECT, []), taken.get("fixed:auto", [])
    return Outcome(
        case=case,
        makespan_s={name: fmean(run["makespan_s"] for run in found) for name, found in taken.items()},
        share_of_bound=against(_mean(subject, "lower_bound_s"), _mean(subject, "makespan_s")),
        done_p95=against(_mean(subject, "done_p95_s"), _mean(best, "done_p95_s")),
        agent_p95=against(_mean(subject, "agent_p95_s"), _mean(best, "agent_p95_s")),
        bulk=bulk,
        dead_first=dead_first,
    )


def against(value: float | None, other: float | None) -> float | None:
    """Their ratio. None where one of them is missing or it is divided by nothing."""
    return value / other if value is not None and other else None


def _mean(runs: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """None where a run does not tell it."""
    values = [run[name] for run in runs if run.get(name) is not None]
    return fmean(values) if values and len(values) == len(runs) else None


# All cases ---------------------------------------------------------------------------------------------------------------


class Verdict(NamedTuple):
    """A figure over the cases, and what it ought to be."""

    name: str
    found: float
    least: float | None = None
    most: float | None = None
    case: str = ""  # which it is about

    @property
    def holds(self) -> bool | None:
        """None: nothing is asked."""
        if self.least is None and self.most is None:
            return None
        return (self.least is None or self.found >= self.least) and (self.most is None or self.found <= self.most)

    @property
    def asked(self) -> str:
        """For a table."""
        if self.least is not None:
            return f">= {self.least:g}"
        return "" if self.most is None else f"<= {self.most:g}"

    @property
    def said(self) -> str:
        """For a table."""
        return {True: "yes", False: "NO", None: ""}[self.holds]


def verdicts(outcomes: Sequence[Outcome], others: Iterable[str]) -> list[Verdict]:
    """All that can be told; each case counts the same, and "dead first" for the share of the bound only."""
    usual = [one for one in outcomes if not one.dead_first]
    found: list[Verdict] = []
    for other in others:
        found += _speed(usual, other)
    found += _bound(usual, BOUND, "bound")
    found += _bound([one for one in outcomes if one.dead_first], BOUND_DEAD_FIRST, "bound, dead first")
    for name, most in (("done_p95", DONE_P95), ("agent_p95", AGENT_P95)):
        ratios = {one.case: ratio for one in usual if (ratio := getattr(one, name)) is not None}
        if ratios:
            found.append(Verdict(f"{name}: mean", geometric_mean(ratios.values()), most=most))
            worst = max(ratios, key=ratios.__getitem__)
            found.append(Verdict(f"{name}: most", ratios[worst], case=worst))
    return found


def _speed(outcomes: Iterable[Outcome], other: str) -> Iterator[Verdict]:
    ratios = {one.case: ratio for one in outcomes if (ratio := one.faster_than(other)) is not None}
    if not ratios:
        return
    yield Verdict(f"x {other}: mean", geometric_mean(ratios.values()), least=MEAN.get(other))
    worst = min(ratios, key=ratios.__getitem__)
    yield Verdict(f"x {other}: least", ratios[worst], least=LEAST.get(other), case=worst)
    if other == "off" and THRASHING in ratios:
        yield Verdict(f"x off: {THRASHING}", ratios[THRASHING], least=THRASHING_LEAST, case=THRASHING)


def _bound(outcomes: Iterable[Outcome], targets: Mapping[str, float], name: str) -> Iterator[Verdict]:
    shares: dict[str, list[float]] = {}
    for one in outcomes:
        if one.bulk is not None and one.share_of_bound is not None:
            shares.setdefault(one.bulk, []).append(one.share_of_bound)
    for bulk in sorted(shares):
        yield Verdict(f"{name}: {bulk}", fmean(shares[bulk]), least=targets.get(bulk))


# Against what is recorded --------------------------------------------------------------------------------------------------


class Changes(NamedTuple):
    """Names of cases."""

    longer: list[str]  # than recorded, by more than is tolerated
    shorter: list[str]
    unknown: list[str]  # not recorded, or recorded and no longer run

    @property
    def failed(self) -> bool:
        """Whether someone has to do something about it."""
        return bool(self.longer or self.unknown)

    def told(self) -> Iterator[str]:
        """A line each."""
        for name in self.longer:
            yield f"{name}: takes more than {TOLERANCE:.0%} longer than recorded"
        for name in self.unknown:
            yield f"{name}: only one of run and recorded; record anew with --check --record"
        if self.shorter:
            yield f"more than {TOLERANCE:.0%} shorter than recorded: {', '.join(self.shorter)}; record anew with --check --record"


def changes(found: Mapping[str, float], recorded: Mapping[str, float]) -> Changes:
    """Makespans by case."""
    both = [name for name in found if name in recorded]
    return Changes(
        longer=[name for name in both if found[name] > recorded[name] * (1 + TOLERANCE)],
        shorter=[name for name in both if found[name] < recorded[name] * (1 - TOLERANCE)],
        unknown=sorted(found.keys() ^ recorded.keys()),
    )
