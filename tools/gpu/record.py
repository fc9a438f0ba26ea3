"""What a call of `run` says and keeps: run.log, results.json, archives, and the one table."""

from __future__ import annotations

import json
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

from install import CHECKOUT

BENCH = CHECKOUT / "tools" / "bench"
MOST_KEPT_BYTES = 15 * 2**20  # of an archive beside the results


class Record:
    """`out`: where it is kept; None keeps nothing. `until`: when all ends, by the monotonic clock."""

    def __init__(self, out: Path | None, until: float) -> None:
        self.until = until
        self.runs: list[dict[str, Any]] = []
        self._out = out
        self._kept: dict[str, Any] = {"runs": self.runs}

    def left_s(self) -> float:
        """Until all has to have ended."""
        return self.until - time.monotonic()

    def say(self, text: str) -> None:
        """To the terminal and to run.log, with the time left."""
        self._print(f"[{max(0.0, self.left_s()):4.0f} s left] {text}")

    def keep(self, **parts: Any) -> None:
        """In results.json, besides the runs so far."""
        self._kept.update(parts)
        if self._out is not None:
            (self._out / "results.json").write_text(json.dumps(self._kept, indent=1) + "\n", encoding="utf-8")

    def add(self, figures: dict[str, Any]) -> None:
        """One run more."""
        self.runs.append(figures)
        self.keep()

    def longest_s(self) -> float:
        """Of the runs so far; 0 before the first."""
        return max((figures["makespan_s"] or 0.0 for figures in self.runs), default=0.0)

    def table(self) -> None:
        """Everything measured: a line per controller, by medians, as tools/bench/policies.py has it."""
        if not self.runs:
            self.say("nothing was measured")
            return
        sys.path.insert(0, str(BENCH))
        from policies import HEADING, rows  # noqa: PLC0415 - lies elsewhere

        lines = [HEADING, *rows(self.runs)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(HEADING))]
        for line in lines:
            self._print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))

    def archive(self, name: str, folder: Path) -> None:
        """The folder as an archive beside the results, unless it is too large to be handed around."""
        if self._out is None or not folder.is_dir():
            return
        path = self._out / name
        with tarfile.open(path, "w:gz", compresslevel=5) as archive:
            archive.add(folder, arcname=folder.name)
        if path.stat().st_size > MOST_KEPT_BYTES:
            path.unlink()
            self.say(f"{name} would be too large; {folder} stays where it is")

    def _print(self, line: str) -> None:
        print(line, flush=True)
        if self._out is not None:
            with (self._out / "run.log").open("a", encoding="utf-8") as log:
                print(line, file=log)
