"""What it brings that model calls begin together, on simulated engines whose prefills are dear and on the usual ones.

    python tools/bench/together.py [--seeds 3] [--front US]

`forecast` with and without `controller.together`. Dear are: Qwen3-8B on an H200 as tools/gpu/costs.py measured it, without CUDA
graphs for prefill (docs/fidelity.md), with short agents in a pool for a quarter of them; and Qwen3-32B at TP4 and TP8 with 30 ms
for each prefill, half a millisecond for launching each of its 64 layers, beside what its tokens take.

--front: a server makes tokens of one prompt after another before its scheduler sees them. Then calls that are sent together do not
arrive together, and several prefills are begun for them after all.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import geometric_mean
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from control_cases import Case
from control_suite import run

from concur_batch.engine.base import Reply, Request
from concur_batch.engine.sim import SimEngine
from concur_batch.sim.tokens import Tokenizer
from report import show

MEASURED = {
    "prefill_fixed_s": 18.7e-3,
    "prefill_per_token_s": 23.5e-6,
    "decode_fixed_s": 7.66e-3,
    "decode_per_context_token_s": 26e-9,
}
TP4 = {"prefill_fixed_s": 30e-3, "prefill_per_token_s": 34e-6, "decode_fixed_s": 11e-3, "decode_per_context_token_s": 22e-9}
TP8 = {"prefill_fixed_s": 30e-3, "prefill_per_token_s": 20e-6, "decode_fixed_s": 8.7e-3, "decode_per_context_token_s": 11e-9}
SHORT: dict[str, Any] = {
    "least_steps": 8,
    "most_steps": 16,
    "shared_tokens": 800,
    "start_tokens": 600,
    "output_median": 35,
    "observation_median": 130,
    "tool_median_s": 0.3,
}


class Engine(NamedTuple):
    """One row. `costs` None: those of the profile."""

    name: str
    profile: str
    costs: dict[str, float] | None
    pool_tokens: int | None = None
    agents: int = 256
    workload: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it

    def case(self, folder: Path) -> Case:
        """As the suite runs it."""
        profile = self.profile
        if self.costs is not None:
            path = folder / f"{self.name.replace(' ', '-')}.toml"
            lines = [f'base = "{profile}"', "[cost]", *(f"{key} = {value}" for key, value in self.costs.items())]
            path.write_text("\n".join(lines) + "\n")
            profile = str(path)
        return Case(self.name, profile=profile, agents=self.agents, pool=self.pool_tokens, workload=self.workload)


TURNS: WeakKeyDictionary[SimEngine, asyncio.Lock] = WeakKeyDictionary()
ENGINES = (
    Engine("H200 measured", "qwen3-8b@h200x1", MEASURED, pool_tokens=69_873, agents=96, workload=SHORT),
    Engine("TP4 30 ms", "qwen3-32b@h100x4", TP4),
    Engine("TP8 30 ms", "qwen3-32b@h100x8", TP8),
    Engine("H200", "qwen3-8b@h200x1", None, pool_tokens=69_873, agents=96, workload=SHORT),
    Engine("TP4", "qwen3-32b@h100x4", None),
    Engine("TP8", "qwen3-32b@h100x8", None),
)


def front(us: float) -> None:
    """In this process, simulated engines have a front end that takes so many microseconds for each token of a prompt."""
    complete, tokenizer = SimEngine.complete, Tokenizer()

    async def in_turn(self: SimEngine, request: Request) -> Reply:
        turn = TURNS.setdefault(self, asyncio.Lock())
        async with turn:
            tokens = sum(run.stop - run.start for run in tokenizer.prompt(request.messages, request.tools))
            await asyncio.sleep(tokens * us / 1e6)
        return await complete(self, request)

    if us > 0:
        SimEngine.complete = in_turn  # type: ignore[method-assign]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--front", type=float, default=0.0, metavar="US", help="of a front end, microseconds per token of a prompt"
    )
    given = parser.parse_args()
    seeds = range(given.seeds)
    rows, found = [], {}
    with tempfile.TemporaryDirectory() as scratch, ProcessPoolExecutor(initializer=front, initargs=(given.front,)) as workers:
        cases = [engine.case(Path(scratch)) for engine in ENGINES]
        runs = {
            (case.name, together, seed): workers.submit(run, case, "forecast", seed, {"together": together})
            for case in cases
            for together in (False, True)
            for seed in seeds
        }
        for case in cases:
            alone, company = ([runs[case.name, together, seed].result() for seed in seeds] for together in (False, True))
            faster = [a["makespan_s"] / b["makespan_s"] for a, b in zip(alone, company, strict=True)]
            live = [b["agent_p95_s"] / a["agent_p95_s"] for a, b in zip(alone, company, strict=True)]
            found[case.name] = round(geometric_mean(faster), 3)
            spans = [f"{sum(one['makespan_s'] for one in of) / len(of):,.0f}" for of in (alone, company)]
            rows.append([case.name, *spans, f"{found[case.name]:.3f}", f"{min(faster):.3f}", f"{geometric_mean(live):.2f}"])
    show("together", ["engine", "alone s", "together s", "faster", "least", "agent p95"], rows, found)


if __name__ == "__main__":
    main()
