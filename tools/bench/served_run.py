"""One run of a trace on a server, and its figures: from the run's own journal, and from what the server counted meanwhile."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from program import command, journal
from prometheus_client.parser import text_string_to_metric_families

from concur_batch.results.tally import Tally

TTFT = "sglang:time_to_first_token_seconds"
COUNTED = {
    "prefill_computed_tokens": ("sglang:realtime_tokens_total", {"mode": "prefill_compute"}),
    "evicted_tokens": ("sglang:evicted_tokens_total", {}),
    "retractions": ("sglang:num_retracted_requests_total", {}),
}

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@dataclass(frozen=True, kw_only=True)
class Load:
    """What every run of a comparison is given. `drain_s`: for steps under way where it is cut; `more`: options of `concur run`."""

    url: str
    trace: Path
    agents: int | None = None
    token_scale: float = 1.0
    time_scale: float = 1.0
    timeout_s: float = 1800.0
    drain_s: float = 60.0
    more: Sequence[str] = ()

    def argv(self, controller: str, out: Path) -> list[str]:
        """The command line."""
        argv = [command(), "run", str(self.trace), "--agent", "replay", "--engine", self.url, *options(controller)]
        argv += ["--token-scale", str(self.token_scale), "--time-scale", str(self.time_scale), "--no-live", "--out", str(out)]
        return [*argv, *(["--limit", str(self.agents)] if self.agents else []), *self.more]


def options(controller: str) -> list[str]:
    """Of the command line, for a name with `+KEY=VALUE` for each of its settings, as in `forecast+touch=false`."""
    name, *settings = controller.split("+")
    return ["--controller", name, *(text for setting in settings for text in ("--set", f"controller.{setting}"))]


def run(load: Load, controller: str, out: Path) -> dict[str, Any]:
    """From an empty cache to the end, or to the time limit: then `finished` is False, and the figures are those until there."""
    flush(load.url)
    before = metrics(load.url)
    with (out.with_name(out.name + ".txt")).open("wb") as said:
        process = subprocess.Popen(load.argv(controller, out), stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            code = process.wait(load.timeout_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(load.drain_s)
            code = None
        finally:
            process.kill()
            process.wait()
    if code not in (0, 1, None):
        raise SystemExit(f"concur run ended with code {code}:\n{Path(said.name).read_text()[-2000:]}")
    return {"controller": controller, "finished": code is not None, **figures(out), **counted(before, metrics(load.url))}


def figures(out: Path) -> dict[str, Any]:
    """What `concur simulate --json` tells of a run, from its journal; and the window's path."""
    tally = Tally()
    for record in journal(out):
        tally.apply(record)
    found = tally.figures()
    makespan = found["makespan_s"]
    return {
        **found,
        "statuses": tally.statuses,
        "generated_per_s": found["generated_tokens"] / makespan if makespan else None,
        "steps_per_s": found["steps"] / makespan if makespan else None,
        "windows": next(iter(tally.windows.values()), []),
    }


def counted(before: Series, after: Series) -> dict[str, Any]:
    """Differences of the server's counters. Times to the first token are SGLang's own, without streaming: of all requests."""
    found: dict[str, Any] = {name: _grown(before, after, series, labels) for name, (series, labels) in COUNTED.items()}
    count, total = (_grown(before, after, f"{TTFT}_{part}", {}) for part in ("count", "sum"))
    found["ttft_mean_s"] = total / count if count else None
    buckets: dict[float, float] = {}
    for labels, grown in _differences(before, after, f"{TTFT}_bucket", {}):
        edge = float(labels["le"])
        buckets[edge] = buckets.get(edge, 0.0) + grown
    for share in (0.5, 0.99):
        found[f"ttft_p{share * 100:.0f}_s"] = quantile(buckets, share)
    return found


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """Of a cumulative histogram, by upper edges; linear within a bucket, the last finite edge beyond it."""
    edges = sorted(buckets)
    wanted = share * buckets[edges[-1]] if edges else 0.0
    if wanted <= 0:
        return None
    low = below = 0.0
    for edge in edges:
        if buckets[edge] >= wanted:
            if edge == float("inf"):
                return low
            return low + (edge - low) * (wanted - below) / (buckets[edge] - below)
        low, below = edge, buckets[edge]
    return low


def metrics(url: str) -> Series:
    """Everything in /metrics; empty where the server has none."""
    try:
        text = _ask(f"{url}/metrics").decode()
    except urllib.error.HTTPError:
        return {}
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def server_info(url: str) -> dict[str, Any]:
    """What the server says of itself."""
    told: dict[str, Any] = json.loads(_ask(f"{url}/server_info"))
    return told


def flush(url: str, patience_s: float = 60.0) -> None:
    """Empty the server's cache; it refuses while anything runs."""
    end = time.monotonic() + patience_s
    while True:
        try:
            _ask(f"{url}/flush_cache", b"")
        except urllib.error.HTTPError as error:
            if error.code != 400 or time.monotonic() > end:
                raise SystemExit(f"{url}/flush_cache: HTTP {error.code}: {error.read()[:200]!r}") from None
            time.sleep(0.5)
        else:
            return


def _grown(before: Series, after: Series, name: str, labels: Mapping[str, str]) -> float | None:
    """Of all those series together; None where there is none."""
    found = _differences(before, after, name, labels)
    return sum(grown for _, grown in found) if found else None


def _differences(before: Series, after: Series, name: str, labels: Mapping[str, str]) -> list[tuple[dict[str, str], float]]:
    """Each series of that name with these labels, so that nothing counts twice. Under priority scheduling:

    - of a scheduler's, which name its rank, the one with an empty priority is the total: others are left out beside it;
    - of requests', each counts, and an empty priority is that of requests sent without one.
    """
    found = [
        (dict(of), value - before.get((series, of), 0.0))
        for (series, of), value in after.items()
        if series == name and labels.items() <= dict(of).items()
    ]
    totals = [one for one in found if not one[0].get("priority")]
    return totals if totals and "tp_rank" in totals[0][0] else found


def _ask(url: str, body: bytes | None = None) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, body), timeout=30) as reply:
        return bytes(reply.read())
