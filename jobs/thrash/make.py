"""Writes jobs.jsonl: 40 agents whose histories outgrow a small cache. Run it as `python jobs/thrash/make.py`."""

import json
from dataclasses import asdict
from pathlib import Path

from concur_batch.sim.tasks import tasks
from concur_batch.sim.workload import WorkloadParameters, generate

WORKLOAD = WorkloadParameters(
    agents=40,
    shared_tokens=1_000,
    least_steps=8,
    most_steps=12,
    output_median=30,
    output_sigma=0.4,
    observation_median=1_000,
    observation_sigma=0.5,
    tool_median_s=0.4,
    tool_sigma=0.8,
)

rows = []
for task in tasks(generate(WORKLOAD, seed=0)):
    script = [
        {key: value for key, value in asdict(turn).items() if key in ("tokens", "tool_calls") and value}
        for turn in task.script or ()
    ]
    for turn in script:
        for call in turn.get("tool_calls", ()):
            call["arguments"]["seconds"] = round(call["arguments"]["seconds"], 3)
    rows.append({"id": task.id, "messages": task.messages, "tools": task.tools, "script": script})
Path(__file__).with_name("jobs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
