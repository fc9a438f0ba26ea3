"""Run directories with a story, and what a hostile task would put into them."""

from __future__ import annotations

import json
from contextlib import closing

from journals import reply, segment, start, tool

from concur_batch import records as r
from concur_batch.journal.writer import JournalWriter

HOSTILE = (
    '</script><script>window.__pwned=1;alert(1)</script><!--<script><img src=x onerror="window.__pwned=2;alert(2)"><b>bold</b>'
    ' <a href="javascript:alert(3)">x</a> & &lt;i&gt; \u2028\u2029 \ud800 %{y} ${z} \'single\' "double"'
    " \x00\x07\x1b[2J\r \u202eevil\u202c \u2066isolate\u2069 \u200f"
)


class Recorded:
    """Records in memory as they are: also such that no file could hold."""

    def __init__(self, records):
        self.kept = list(records)

    def positioned(self):
        return ((10 * i, record) for i, record in enumerate(self.kept))

    def at(self, position):
        return self.kept[position // 10]


def write_run(run_dir, records, config=None, **more):
    """The directory as `concur run` leaves it, without results."""
    run_dir.mkdir(parents=True)
    content = {"concur": "0", "jobs": ["jobs.jsonl"], "config": {"run": {"seed": 0}} if config is None else config} | more
    (run_dir / "config.json").write_text(json.dumps(content))
    if records:
        with closing(JournalWriter(run_dir)) as journal:
            for record in records:
                journal.write(record)
    return run_dir


def sampled(t, engine="e", **fields):
    fields = {"capacity_tokens": 1_000, "locked": 0.5, "resident": 0.75, "prompt_tokens": 100, "cached_tokens": 80} | fields
    fields = {"history_tokens": 50, "missed_tokens": 5, "active": 2, "waiting": 1, "generated_tokens": 40} | fields
    return r.Sampled(t=t, engine=engine, **fields)


def decided(t, agents=4, engine="e", reason="hold", **fields):
    return r.Decided(t=t, engine=engine, agents=agents, reason=reason, **fields)


def end(rollout, t, status="completed", **fields):
    return r.RolloutFinished(t=t, rollout=rollout, engine="e", status=status, n_steps=2, wall_s=t - 1, **fields)


def failed(rollout, t, message="no such file", error_class="tool", **fields):
    error = r.ErrorInfo(error_class=error_class, message=message)
    return end(rollout, t, "error", error=error, **fields)


def life(rollout, index=0, last=None, at=1.0):
    """One rollout of two steps with a tool call and a pause between them."""
    return [
        start(rollout, index, t=at),
        reply(
            rollout,
            1,
            1,
            content=f"let me look, {rollout}",
            calls=["c1"],
            t=at + 1,
            model_s=0.5,
            cached_tokens=4,
            missed_tokens=0,
        ),
        r.ToolStarted(t=at + 1, rollout=rollout, step=1, n=2, tool="f", hash="h"),
        tool(rollout, 2, f"seen by {rollout}", t=at + 2, seconds=1.0, call_id="c1"),
        r.RolloutPaused(t=at + 2, rollout=rollout, engine="e", step=1, reason="limit"),
        r.RolloutReturned(t=at + 3, rollout=rollout, engine="e", step=1, paused_s=1.0),
        reply(rollout, 3, 2, [2], after=1, t=at + 4, step=2, model_s=1.0, prompt_tokens=20),
        last or end(rollout, at + 4),
    ]


def opening(rollouts, policy="aimd"):
    seen = r.EngineSeen(t=0.0, engine="e", engine_kind="sim", model="m", version="1", capacity_tokens=1_000, policy=policy)
    return [segment(), r.BatchLoaded(t=0.0, tasks=rollouts, rollouts=rollouts), seen, decided(0.0, 4, reason="first")]


def ordinary(rollouts=6, policy="aimd"):
    """A run that ended, in which every third rollout failed."""
    records = opening(rollouts, policy)
    for i in range(rollouts):
        name = f"task-{i}#0"
        records += life(name, i, failed(name, i + 5.0, f"no such file: {i}") if i % 3 == 2 else None, at=1.0 + i)
        records += [sampled(i + 5.0), decided(i + 5.0, 4 + i % 3, reason=("grow", "cut", "hold")[i % 3])]
    return [*records, r.SegmentFinished(t=rollouts + 5.0, cause="finished")]


def hostile(rollouts=8):
    """The same, with every text of it from an enemy; broken off."""
    evil = {"engine": HOSTILE}
    seen = r.EngineSeen(t=0.0, engine_kind=HOSTILE, model=HOSTILE, version=HOSTILE, policy=HOSTILE, note=HOSTILE, **evil)
    opened = r.SegmentStarted(t=0.0, epoch=1.7e9, host=HOSTILE, pid=1, version=HOSTILE)
    records = [opened, r.BatchLoaded(t=0.0, tasks=rollouts, rollouts=rollouts), seen]
    for i in range(rollouts):
        name, at = f"{HOSTILE}{i}#0", i * 0.5
        long = "x" * 1_000_000 if i == 0 else ""
        prompt = [{"role": HOSTILE, "content": HOSTILE}, {"role": "user", "content": HOSTILE + long}]
        said = {
            "role": "assistant",
            "content": [{"type": "text", "text": HOSTILE}, {"type": HOSTILE, "image_url": HOSTILE}],
            "reasoning_content": HOSTILE,
            "tool_calls": [{"id": "c", "function": {"name": HOSTILE, "arguments": HOSTILE}}, HOSTILE],
        }
        error = r.ErrorInfo(error_class=HOSTILE, message=f"{HOSTILE}{i}")
        records += [
            r.RolloutStarted(
                t=at, rollout=name, task=name[:-2], k=0, index=i, seed=0, model=HOSTILE, agent=HOSTILE, messages=prompt,
                metadata={HOSTILE: HOSTILE}, target=HOSTILE, **evil,
            ),
            r.ReplyReceived(
                t=at + 1, rollout=name, step=1, n=1, hash="h", base=2, new=[], message=said, finish_reason=HOSTILE,
                prompt_tokens=100, completion_tokens=9, cached_tokens=50, history_tokens=9, missed_tokens=2, model_s=0.5, **evil,
            ),
            r.ToolFinished(
                t=at + 2, rollout=name, step=1, n=2, tool=f"{HOSTILE}{i}", output=HOSTILE + long, ok=False, error_class=HOSTILE,
                seconds=0.7,
            ),
            r.RolloutPaused(t=at + 2, rollout=name, step=1, reason=HOSTILE, **evil),
            r.RolloutReturned(t=at + 3, rollout=name, step=1, paused_s=1.0, **evil),
            sampled(at + 4, HOSTILE),
            decided(at + 4, 4 + i % 3, HOSTILE, HOSTILE),
        ]  # fmt: skip
        if i < rollouts - 2:
            records.append(
                r.RolloutFinished(
                    t=at + 4, rollout=name, status="error" if i % 2 else HOSTILE, error=error if i % 2 else None, **evil
                )
            )
    return [*records, r.EngineLost(t=7.0, message=HOSTILE, **evil), r.DrainStarted(t=8.0, cause=HOSTILE)]
