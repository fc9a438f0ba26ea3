"""What a comparison has to run: each controller under each seed, and for `fixed:auto` as many fixed windows as its sweep wants."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from concur_batch.config import Config
from concur_batch.config.model import Controller
from concur_batch.config.places import placing
from concur_batch.control.policies import make_policy
from concur_batch.errors import InputError
from concur_batch.results.sweep import Sweep, Window

FIXED_AUTO = "fixed:auto"
OFF = "off"
LOST = ("timeout", "error", "cancelled")  # statuses of agents whose work a faster run might have seen done

Figures = dict[str, Any]


class Run(NamedTuple):
    """One run: a controller that `make_policy` knows, under one seed."""

    controller: str
    seed: int

    def __str__(self) -> str:
        return f"{self.controller}, seed {self.seed}"


class Entry:
    """One controller under one seed. `figures`: what it came to, None as long as runs are wanted."""

    def __init__(self, controller: str, seed: int, agents: int) -> None:
        self.controller = controller
        self.seed = seed
        self.figures: Figures | None = None
        self._sweep = Sweep(agents) if controller == FIXED_AUTO else None

    def wanted(self) -> list[Run]:
        """All that can be run now, in any order."""
        if self._sweep is not None:
            return [self._run(window) for window in self._sweep.wanted()]
        return [] if self.figures is not None else [Run(self.controller, self.seed)]

    def take(self, done: Mapping[Run, Figures]) -> None:
        """Look for what is wanted among the runs that are done."""
        if self._sweep is None:
            self.figures = done.get(Run(self.controller, self.seed))
            return
        while found := [window for window in self._sweep.wanted() if self._run(window) in done]:
            for window in found:
                run = done[self._run(window)]
                lost = sum(run["statuses"].get(status, 0) for status in LOST)
                self._sweep.took(window, run["makespan_s"], lost=lost)
        if not self._sweep.wanted():
            best = self._sweep.best
            self.figures = {**done[self._run(best)], "controller": FIXED_AUTO, "window": best}

    def _run(self, window: Window) -> Run:
        return Run(OFF if window is None else f"fixed:{window}", self.seed)


class Entries:
    """All of a comparison. The same run is made once, whoever wants it."""

    def __init__(self, controllers: Sequence[str], seeds: Sequence[int], agents: int) -> None:
        """`agents`: as many as can be active at all."""
        self.seeds = seeds
        self._entries = [Entry(controller, seed, agents) for controller in controllers for seed in seeds]
        self.done: dict[Run, Figures] = {}

    def wanted(self, under_way: Iterable[Run] = (), *, by_seed: bool = False) -> list[Run]:
        """To be run next; the longest way first: a sweep. `by_seed`: controllers take turns instead, in their order."""
        entries = sorted(self._entries, key=lambda entry: entry.seed if by_seed else entry.controller != FIXED_AUTO)
        runs = dict.fromkeys(run for entry in entries for run in entry.wanted())
        return [run for run in runs if run not in {*under_way, *self.done}]

    def came(self, run: Run, figures: Figures) -> None:
        """A run has ended."""
        self.done[run] = figures
        for entry in self._entries:
            if entry.figures is None:
                entry.take(self.done)

    def figures(self) -> list[Figures]:
        """Of every controller and seed that is through, in the order given."""
        return [entry.figures for entry in self._entries if entry.figures is not None]

    def left_to_run(self) -> list[Run]:
        """Every controller and seed that is not through."""
        return [Run(entry.controller, entry.seed) for entry in self._entries if entry.figures is None]


def names_of(text: str) -> list[str]:
    """The controllers that a comma-separated list names. Raises InputError for an empty one, and for one named twice."""
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise InputError(
            f"--controllers {text!r}: names no controller{' between two commas' if any(names) else ''}; give off,aimd"
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"--controllers {text}: names {twice} twice; name it once")
    return names


def configurations(config: Config, controllers: Sequence[str]) -> dict[str, Config]:
    """The configuration for each controller: each is given those parameters that it has. Raises InputError.

    A parameter that none of them has is refused, and so is a value that its controller refuses.
    """
    if config.sources.get("controller.name", "").startswith("--set"):
        raise InputError("--set controller.name: a comparison takes its controllers from --controllers")
    if config.sources.get("run.out", "").startswith("--set"):
        raise InputError("--set run.out: a comparison has a run directory for each run on a server; give --out, for all of them")
    found: dict[str, Config] = {}
    refused: dict[str, dict[str, InputError]] = {}  # by parameter, then by controller
    for name in controllers:
        parameters = dict(config.controller.parameters)
        while (fault := _unknown(name, parameters, config)) is not None:
            key, error = fault
            parameters.pop(key)
            refused.setdefault(key, {})[name] = error
        found[name] = config.model_copy(update={"controller": Controller(name=name, **parameters)})
    for key, errors in refused.items():
        if len(errors) == len(controllers):
            near = [told[0] for error in errors.values() if (told := re.search("; did you mean .*", str(error)))]
            who = f"none of {', '.join(controllers)} has" if len(controllers) > 1 else f"{controllers[0]} does not have"
            source = config.sources.get(f"controller.{key}", "--set")
            given = "" if source.startswith("--set") else f" ({source})"
            raise InputError(f"controller.{key}{given}: {who} such a parameter{near[0] if near else ''}")
    return found


def configuration_of(run: Run, by_controller: Mapping[str, Config]) -> Config:
    """That of one run; those that a sweep wants have it from the sweep."""
    config = by_controller.get(run.controller)
    if config is None:
        config = by_controller[FIXED_AUTO]
        config = config.model_copy(update={"controller": config.controller.model_copy(update={"name": run.controller})})
    return with_seed(config, run.seed)


def with_seed(config: Config, seed: int) -> Config:
    """The same with another seed."""
    return config.model_copy(update={"run": config.run.model_copy(update={"seed": seed})})


def _unknown(name: str, parameters: Mapping[str, Any], config: Config) -> tuple[str, InputError] | None:
    """A parameter that this controller does not have, with what it says. Raises InputError for anything else that is wrong."""
    try:
        make_policy("fixed:1" if name == FIXED_AUTO else name, parameters, config.run.max_agents)
    except InputError as error:
        told = re.match(r"controller\.([^:]+): \S+ has no ", str(error))
        if told is None or told[1] not in parameters:
            with placing(config):
                raise InputError(
                    str(error).replace("--controller ", "--controllers ").replace("fixed:N,", f"fixed:N, {FIXED_AUTO},")
                ) from None
        return told[1], error
    return None
