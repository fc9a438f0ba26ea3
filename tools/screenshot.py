"""Write the dashboard as an SVG picture: of a run directory at a chosen moment, or of an invented run (seeded).

    python tools/screenshot.py runs/first --at 40 --svg docs/dashboard.svg
    python tools/screenshot.py --invent 7 --size 80x24                  # to the terminal
    python tools/screenshot.py --invent 1 --agents 1000 --measure 50    # what one drawing costs

The lines of a terminal touch each other; those of the picture do, too (rich would leave gaps in charts of several lines).
"""

from __future__ import annotations

import argparse
import io
import re
import sys
import time
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path

from rich.console import Console, Group

from concur_batch import records as r
from concur_batch.dashboard.picture import Picture
from concur_batch.dashboard.view import render
from concur_batch.journal.reader import JournalReader
from concur_batch.state import RunState, fold
from invented_run import Invented

_SVG_LINE, _LINE = 24.4, 22.6  # pixels from line to line: rich's, and what letters of common fonts are high


def until(stream: Iterable[r.Record], at: float | None) -> RunState:
    """The state at that second of the first segment that lasts so long; at the end where none is given."""
    return fold(stream if at is None else takewhile(lambda record: record.t <= at, stream))


def measure(state: RunState, now: float, width: int, height: int, times: int) -> None:
    """Draw as the live display does, each drawing half a second after the last, into memory."""
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    picture = Picture(console)
    with picture:
        picture.draw(render(state, now, width, height - 1, keys=True))
        began = time.process_time()
        for i in range(times):
            picture.draw(render(state, now + 0.5 * i, width, height - 1, keys=True))
        spent = (time.process_time() - began) / times
    print(
        f"{len(state.live):,} live agents, {width}x{height}: {spent * 1e3:.2f} ms of CPU per drawing, {spent * 200:.1f} % of a core at 2 Hz"
    )


def svg(console: Console, name: str) -> str:
    """What was printed, without a font from elsewhere, and with lines as close to each other as on a terminal."""
    text = re.sub(r"@font-face\s*{[^}]*}\s*", "", console.export_svg(title=name))
    lines = 1 + max(int(number) for number in re.findall(r"-line-(\d+)\)", text))

    def line(match: re.Match[str]) -> str:
        y = float(match["y"]) - int(match["line"]) * (_SVG_LINE - _LINE)
        return f'{match["before"]}y="{y:g}"{match["after"]}'

    text = re.sub(r'(?P<before><text [^>]*?)y="(?P<y>[\d.]+)"(?P<after>[^>]*-line-(?P<line>\d+)\)")', line, text)
    text = re.sub(r'(?P<before><clipPath id="[^"]*-line-(?P<line>\d+)">\s*<rect x="0" )y="(?P<y>[\d.]+)"(?P<after>)', line, text)
    less = lines * (_SVG_LINE - _LINE)

    def height(match: re.Match[str]) -> str:
        return f"{match[1]}{float(match[2]) - less:g}"

    text = re.sub(r'(viewBox="0 0 [\d.]+ )([\d.]+)', height, text, count=1)
    return re.sub(r'(<rect fill="[^>]*? height=")([\d.]+)', height, text, count=1)


def main() -> int:
    """Read the options, draw."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("run", nargs="?", type=Path, help="run directory")
    options.add_argument("--invent", type=int, default=1, metavar="SEED", help="without a run directory: seed of an invented run")
    options.add_argument("--agents", type=int, default=96, help="most active agents of the invented run")
    options.add_argument("--engines", type=int, default=1, help="engines of the invented run")
    options.add_argument("--policy", default="forecast", help="of the invented run: forecast, aimd or off")
    options.add_argument("--at", type=float, help="seconds after the start of the run")
    options.add_argument("--size", default="120x35", help="columns x lines")
    options.add_argument("--view", default="main", choices=("main", "errors"))
    options.add_argument("--ascii", action="store_true", help="as on a terminal that shows nothing else")
    options.add_argument("--title", default="", help="shown at the top, as the run's name")
    options.add_argument("--svg", type=Path, help="write the picture here instead of to the terminal")
    options.add_argument("--measure", type=int, default=0, metavar="N", help="draw so often and print what one drawing costs")
    given = options.parse_args()
    width, height = map(int, given.size.split("x"))
    if given.run is not None:
        stream: Iterable[r.Record] = JournalReader(given.run).records()
    else:
        run = Invented(given.invent, agents=given.agents, rollouts=4 * given.agents, engines=given.engines, policy=given.policy)
        stream = run.records(int(given.at or 150))
    state = until(stream, given.at)
    now = state.time if given.at is None else given.at
    if given.measure:
        measure(state, now, width, height, given.measure)
        return 0
    console = Console(width=width, height=height, record=given.svg is not None, file=io.StringIO() if given.svg else None)
    ascii_only = given.ascii or (given.svg is None and console.options.ascii_only)
    title = given.title or (given.run.name if given.run else "")
    picture: Group = render(state, now, width, height - 1, title=title, ascii_only=ascii_only, view=given.view, keys=True)
    console.print(picture)
    if given.svg is not None:
        given.svg.write_text(svg(console, "concur run"), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
