#!/usr/bin/env python3
"""Whether the simulator's cache, ratio and orders are those of SGLang's own classes (docs/fidelity.md, "State").

Run it with the Python of an environment that holds SGLang:

    ~/.cache/concur/sglang_cpu/bin/python tools/fidelity/state.py --sequences 100

Exit code 1: something differed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("SGLANG_USE_CPU_ENGINE", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from state_ours import Ours
from state_policies import budgets, ratios, retraction_orders
from state_sequences import Finding, Sequence
from state_sglang import Theirs

PAGES = (1, 4, 16)
KINDS = (("radix", False), ("unified-python", False), ("unified-rust", False), ("unified-python", True))


def caches(sequences: int, operations: int, seed: int) -> list[Finding]:
    """Each of SGLang's caches, with each page size."""
    found = []
    for kind, sessions in KINDS:
        for page in PAGES:
            finding = Finding(f"{kind} cache, page {page}{', sessions' if sessions else ''}")
            for i in range(sequences):
                theirs = Theirs(kind, page, operations, sessions=sessions)
                ours = Ours(page, sessions=sessions)
                name = f"{seed}/{kind}/{page}/{i}"
                Sequence(name, theirs, ours, finding, page=page, sessions=sessions).run(operations)
            found.append(finding)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=100, help="of each kind (default 100)")
    parser.add_argument("--operations", type=int, default=150, help="of each sequence (default 150)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    ours = parser.parse_args()
    found = caches(ours.sequences, ours.operations, ours.seed)
    found += [what(ours.sequences, ours.seed) for what in (ratios, retraction_orders, budgets)]
    print(f"SGLang {version('sglang')}; seed {ours.seed}")
    print("| what | sequences | operations | evicted tokens | differences |\n| --- | --- | --- | --- | --- |")
    for finding in found:
        counts = (finding.sequences, finding.operations, finding.evicted_tokens, len(finding.differences))
        print(f"| {finding.what} | " + " | ".join(f"{count:,}" for count in counts) + " |")
    for finding in found:
        for difference in finding.differences[:3]:
            print(f"{finding.what}: {difference}", file=sys.stderr)
    if ours.json:
        ours.json.write_text(json.dumps([asdict(finding) for finding in found], indent=1) + "\n")
    return int(any(finding.differences for finding in found))


if __name__ == "__main__":
    sys.exit(main())
