"""What an engine's iterations cost on this GPU, from the log that SGLang wrote during the runs; as a profile for `concur simulate`.

    tools/gpu/costs.py server.log BASE > profile.toml        BASE: the profile that the rest is taken from, qwen3-8b@h200x1

Between two reports of decoding (every 40 iterations) lie that many decode iterations and the prefills that were reported meanwhile.
How long all that took, SGLang tells as tokens per second. Least squares of the relative errors give four costs, none below 0: a
prefill and each of its new tokens, a decode iteration and each token of context in it. Needs `concur` installed.
"""

from __future__ import annotations

import re
import statistics
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from concur_batch.sim.fit import least_squares

ITERATIONS = 40  # SGLang's --decode-log-interval
LONGEST_S = 3.0  # in longer intervals the engine was idle
PREFILL = re.compile(r"Prefill batch, #new-seq: \d+, #new-token: (\d+)")
DECODE = re.compile(r"Decode batch, #running-req: (\d+), #token: (\d+), .*gen throughput \(token/s\): ([\d.]+)")
NAMES = ("prefill_fixed_s", "prefill_per_token_s", "decode_fixed_s", "decode_per_context_token_s")


class Interval(NamedTuple):
    """From one report of decoding to the next. `tokens`: new ones, in all its prefills; `context_tokens`: of a decode iteration."""

    prefills: int
    tokens: int
    context_tokens: float
    seconds: float

    @property
    def row(self) -> tuple[float, ...]:
        """What the costs are multiplied with."""
        return self.prefills, self.tokens, ITERATIONS, ITERATIONS * self.context_tokens


def intervals(lines: Iterable[str]) -> Iterator[Interval]:
    """Of one server's log."""
    before: tuple[int, int] | None = None
    prefills = tokens = 0
    for line in lines:
        if found := PREFILL.search(line):
            prefills, tokens = prefills + 1, tokens + int(found[1])
        elif found := DECODE.search(line):
            running, context, rate = int(found[1]), int(found[2]), float(found[3])
            if before is not None and rate > 0:
                seconds = ITERATIONS * (before[0] + running) / 2 / rate
                if 0 < seconds <= LONGEST_S:
                    yield Interval(prefills, tokens, (before[1] + context) / 2, seconds)
            before, prefills, tokens = (running, context), 0, 0


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        log = Path(sys.argv[1]).read_text(errors="replace")
    except OSError as error:
        print(f"costs: {sys.argv[1]} cannot be read ({error.strerror}); name SGLang's log of a run", file=sys.stderr)
        return 2
    found = list(intervals(log.splitlines()))
    if len(found) < len(NAMES):
        print(f"costs: {sys.argv[1]} has {len(found)} intervals of decoding; is it SGLang's log of a run?", file=sys.stderr)
        return 1
    costs = least_squares([interval.row for interval in found], [interval.seconds for interval in found])
    met = [sum(a * b for a, b in zip(interval.row, costs, strict=True)) / interval.seconds - 1 for interval in found]
    print(f"# {len(found)} intervals, met with a median error of {statistics.median(map(abs, met)):.1%}")
    print(f'base = "{sys.argv[2]}"\nname = "{sys.argv[2]}, measured"\n\n[cost]')
    for name, cost in zip(NAMES, costs, strict=True):
        print(f"{name} = {cost:.3g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
