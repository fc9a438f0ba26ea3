"""Write docs/control-off.svg, control-aimd.svg and control-forecast.svg: the default workload under three controllers, over time.

    python tools/control_pictures.py [--out docs] [--format svg]

Simulated on qwen3-32b@h100x4, 256 agents, seed 0, in virtual time: the figures are the same on every machine. Needs matplotlib, which
nothing else here does: `pip install matplotlib`. With the same matplotlib the files are the same, byte for byte.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from concur_batch import records as r
from concur_batch.cli.parts import simulated_urls
from concur_batch.cli.trial.simulate import configured, with_all_live, workload
from concur_batch.cli.trial.simulation import simulate
from concur_batch.config import resolve
from concur_batch.sim.tasks import tasks

PROFILE = "qwen3-32b@h100x4"
SHARED_TOKENS = 2_000  # of every context: in the pool once
CONTROLLERS = ("off", "aimd", "forecast")
BIN_S = 15.0
MINUTES = 65.0
MOST_POOLS = 1.35  # the top of the lowest panel

BLUE, ORANGE, GREEN, RED, BLACK = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#222222"
LIGHT, MIDDLE = "#e3e3e3", "#b5c7d8"
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "concur",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


class Run(NamedTuple):
    """One simulated run, in bins of BIN_S."""

    seconds: float
    hit_rate: float  # over the whole run
    series: dict[str, list[float]]  # NaN: nothing is known


def run(controller: str) -> Run:
    """Simulate the default workload under this controller."""
    given = {"controller.name": controller, "engine.urls": simulated_urls(PROFILE, 1)}
    config = configured(resolve(given, [], None, {}))
    traces = workload(None, config, agents=None)
    contexts: list[float] = []  # of the active agents, in pools, by second
    limits: list[float] = []
    times: list[float] = []
    pool = 0

    def sink(record: r.Record) -> None:
        nonlocal pool
        if isinstance(record, r.Sampled):
            pool = record.capacity_tokens or pool
            times.append(record.t)
            contexts.append(max(0, record.committed_tokens - SHARED_TOKENS * record.active) / pool)
        elif isinstance(record, r.Decided) and len(limits) < len(times):
            limits.append(float("nan") if record.tokens is None else record.tokens / pool)

    done = simulate(traces, list(tasks(traces)), with_all_live(config, len(traces)), sink, progress=lambda _: None)
    seconds = done.figures["makespan_s"]
    found = done.timeline.series(max(1, round(seconds / BIN_S)))
    series = {name: [float("nan") if value is None else value for value in values] for name, values in found.items()}
    series["contexts"] = _binned(times, contexts, series["t"])
    series["limit"] = _binned(times, limits, series["t"])
    return Run(seconds, done.figures["hit_rate"], series)


def _binned(times: Sequence[float], values: Sequence[float], ends: Sequence[float]) -> list[float]:
    """The last value before each end."""
    found, place = [], 0
    for end in ends:
        while place + 1 < min(len(times), len(values)) and times[place + 1] <= end:
            place += 1
        found.append(values[place] if values else float("nan"))
    return found


def picture(controller: str, shown: Run) -> Figure:
    """Three panels over the same minutes: agents, the cache, the pool."""
    figure = Figure(figsize=(9.6, 6.4), facecolor="white", layout="constrained")
    panels: list[Axes] = list(figure.subplots(3, 1, sharex=True))
    s = shown.series
    minutes = [end / 60 for end in s["t"]]
    agents, cache, pool = panels

    agents.plot(minutes, s["waiting"], color=ORANGE, label="waiting (new or paused)")
    agents.plot(minutes, s["active"], color=BLUE, label="active")
    if controller == "aimd":
        agents.plot(minutes, s["window"], color=BLACK, linestyle="--", linewidth=1, label="the limit on active agents")
    agents.set(ylim=(0, 270))

    cache.plot(minutes, s["hit_rate"], color=GREEN, label="prompt tokens: from the cache")
    cache.plot(minutes, s["miss_rate"], color=RED, label="sent before, yet computed again")
    cache.set(ylim=(0, 1.05))

    pool.fill_between(minutes, s["resident"], color=LIGHT, linewidth=0, label="filled with any KV")
    pool.fill_between(minutes, s["locked"], color=MIDDLE, linewidth=0, label="filled with KV of running requests")
    pool.plot(minutes, s["contexts"], color=BLUE, label="contexts of the active agents")
    if controller == "forecast":
        pool.plot(minutes, s["limit"], color=BLACK, linestyle="--", linewidth=1, label="the limit on contexts")
    most = max(s["contexts"])
    if most > MOST_POOLS:
        middle = shown.seconds / 120
        pool.text(middle, MOST_POOLS - 0.02, f"↑ up to {most:.1f} times the pool", color=BLUE, ha="center", va="top")
    pool.set(ylim=(0, MOST_POOLS), xlabel="minutes", xlim=(0, MINUTES))

    for panel, name in zip(panels, ("Agents", "The cache", "The KV pool"), strict=True):
        panel.set_title(name, loc="left", fontsize=11, fontweight="bold")
        panel.axvline(shown.seconds / 60, color=BLACK, linewidth=0.8)
        panel.grid(axis="y", color="#d9d9d9", linewidth=0.6)
        panel.set_axisbelow(True)
        panel.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9, alignment="left")
    for panel in (cache, pool):
        panel.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    end = shown.seconds / 60
    late = end > 0.8 * MINUTES
    agents.text(end + (-0.5 if late else 0.5), 250, f"done: {end:.0f} min", ha="right" if late else "left", va="center")
    told = f"256 agents in {end:.0f} minutes, {100 * shown.hit_rate:.0f} % of the prompt tokens from the cache"
    figure.suptitle(f"{controller}: {told}", x=0.01, ha="left", fontsize=12)
    return figure


def main() -> None:
    """Simulate and draw."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--out", type=Path, default=Path("docs"), help="folder (default: docs)")
    options.add_argument("--format", default="svg", help="svg or png")
    given = options.parse_args()
    with mpl.rc_context(STYLE):
        for controller in CONTROLLERS:
            file = given.out / f"control-{controller}.{given.format}"
            metadata = {"Date": None, "Creator": None} if given.format == "svg" else {}
            picture(controller, run(controller)).savefig(file, metadata=metadata)
            print(f"{file}: {file.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
