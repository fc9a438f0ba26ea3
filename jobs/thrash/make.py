"""Writes jobs.jsonl: 40 agents whose histories outgrow a small cache. Run it as `python jobs/thrash/make.py`."""

import json
import tomllib
from dataclasses import asdict
from pathlib import Path

from concur_batch.sim.tasks import tasks
from concur_batch.sim.workload import WorkloadParameters, generate

HERE = Path(__file__).parent
WORKLOAD = WorkloadParameters(**tomllib.loads((HERE / "simulate.toml").read_text())["workload"])

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
(HERE / "jobs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
