"""A run in a few records, and what Prometheus would read of it."""

from __future__ import annotations

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from concur_batch import records as r
from concur_batch.metrics.exposition import registry
from concur_batch.metrics.tally import Tally
from concur_batch.state import RunState

EPOCH = 1_700_000_000.0


def started(rollout, t=1.0, **fields):
    task, k = rollout.rsplit("#", 1)
    return r.RolloutStarted(t=t, rollout=rollout, engine="e", task=task, k=int(k), index=0, seed=1, **fields)


def replied(rollout, step=1, t=3.0, **fields):
    given = {"prompt_tokens": 100, "completion_tokens": 10, "finish_reason": "stop", "model_s": 1.5} | fields
    return r.ReplyReceived(
        t=t, rollout=rollout, engine="e", step=step, n=step, hash="h", base=0, new=[], message={"role": "assistant"}, **given
    )


STORY = [
    r.SegmentStarted(t=0.0, epoch=EPOCH, host="h", pid=1, version="0"),
    r.BatchLoaded(t=0.0, tasks=6, rollouts=6),
    r.EngineSeen(t=0.0, engine="e", engine_kind="sglang", capacity_tokens=1000),
    r.Decided(t=0.0, engine="e", agents=8, tokens=900, reason="start"),
    *(started(f"t{i}#0") for i in range(5)),
    replied("t0#0", cached_tokens=80, history_tokens=90, missed_tokens=10, retries=2, retry_s=0.5, wait_s=0.25),
    r.ToolStarted(t=3.0, rollout="t0#0", step=1, n=2, tool="shell", hash="h"),
    replied("t1#0"),
    r.ToolStarted(t=3.0, rollout="t1#0", step=1, n=2, tool="shell", hash="h"),
    r.ToolFinished(t=4.0, rollout="t1#0", step=1, n=2, tool="shell", output="", ok=False, error_class="sandbox", seconds=1.0),
    r.ToolStarted(t=4.0, rollout="t1#0", step=1, n=3, tool="wait", hash="h"),
    r.RolloutYielded(t=4.0, rollout="t1#0", engine="e", step=1),
    r.RolloutPaused(t=4.0, rollout="t2#0", engine="e", step=0, reason="limit"),
    r.RolloutReturned(t=5.0, rollout="t2#0", engine="e", step=0, paused_s=1.0),
    r.RolloutPaused(t=5.0, rollout="t2#0", engine="e", step=0, reason="limit"),
    r.CallFailed(t=5.0, rollout="t4#0", engine="e", step=1, n=1, hash="h", error="EngineRefused", message="no"),
    r.RolloutFinished(
        t=5.0, rollout="t4#0", engine="e", status="error", error=r.ErrorInfo(error_class="engine", message="no"), wall_s=4.0
    ),
    r.Sampled(t=6.0, engine="e", capacity_tokens=1000, locked=0.5, resident=0.75, running_requests=2, queued_requests=1,
              prompt_tokens=200, cached_tokens=50, history_tokens=100, missed_tokens=25, active=2, waiting=1, lag_s=0.02,
              touches=3),
    r.Decided(t=6.0, engine="e", agents=None, tokens=800, reason="hold"),
]  # fmt: skip


class Metered:
    """What a run's endpoint would serve."""

    def __init__(self, records=(), run="first"):
        self.state, self.tally = RunState(), Tally()
        self.registry = registry(self.state, self.tally, run)
        self.take(records)

    def take(self, records):
        for record in records:
            self.state.apply(record)
            self.tally(record)

    @property
    def text(self):
        return generate_latest(self.registry).decode()

    @property
    def names(self):
        """Of all families, as Prometheus' queries have them; a family without series yet counts too."""
        found = set()
        for line in self.text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                found |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
        return found

    def values(self, name):
        """By label values, in the order of the labels' names."""
        samples = (sample for family in text_string_to_metric_families(self.text) for sample in family.samples)
        return {
            tuple(value for _, value in sorted(sample.labels.items())): sample.value for sample in samples if sample.name == name
        }
