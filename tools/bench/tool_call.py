"""CPU of one tool call, and the time to run a command: what the toolbox itself costs.

Calls are made one after the other through the toolbox, as the agent loop makes them. `async no-op` and `one argument` are the toolbox's
own cost; `plain function` adds a thread; `shell` and `python` start a process each, under bubblewrap where it works unless `--unsafe`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

from concur_batch.toolbox.limits import ToolLimits
from concur_batch.toolbox.load import load_tools

SOURCE = """
from concur_batch.toolbox import tool

@tool
async def noop() -> str:
    "Does nothing."
    return "ok"

@tool
async def one(number: int) -> str:
    "Does nothing with a number."
    return "ok"

@tool
def plain() -> str:
    "Does nothing in a thread."
    return "ok"
"""
CASES = [
    ("async no-op", "noop", "{}", 20_000),
    ("one argument", "one", '{"number": 3}', 20_000),
    ("plain function", "plain", "{}", 2_000),
    ("shell: true", "shell", '{"command": "true"}', 100),
    ("python: pass", "python", '{"code": "pass"}', 50),
]


async def measure(*, unsafe: bool) -> dict[str, float]:
    """Microseconds per call: CPU of this process for functions, wall time for commands."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "tools.py"
        source.write_text(SOURCE)
        limits = ToolLimits(sandbox="off" if unsafe else "auto")
        tools = load_tools([str(source), "builtin"], workspaces=Path(folder) / "workspaces", limits=limits)
        print(f"sandbox: {tools.sandbox}")
        opened = tools.open("bench#0", 0)
        for label, name, arguments, count in CASES:
            clock = time.perf_counter if name in ("shell", "python") else time.process_time
            assert (await opened.call(name, arguments)).ok
            began = clock()
            for _ in range(count):
                await opened.call(name, arguments)
            found[label] = 1e6 * (clock() - began) / count
            print(
                f"{label:16} {found[label]:10.1f} µs per call, {'wall' if clock is time.perf_counter else 'CPU'}, {count} calls"
            )
        await opened.aclose()
        await tools.aclose()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unsafe", action="store_true", help="without bubblewrap")
    found = asyncio.run(measure(unsafe=parser.parse_args().unsafe))
    print(json.dumps({"bench": "tool_call", **{label: round(value, 1) for label, value in found.items()}}))


if __name__ == "__main__":
    main()
