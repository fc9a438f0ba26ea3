"""How contexts grow with the steps: quantiles over the agents that came so far. Pure."""

from __future__ import annotations

from random import Random

from concur_batch import records as r
from concur_batch.report.reservoir import Reservoir
from concur_batch.report.tidy import tidy
from concur_batch.results.tally import percentile

MOST_STEPS = 500
PER_STEP = 400  # contexts kept of each step, drawn at random


class Growth:
    """`reply` every reply. Steps beyond `MOST_STEPS` are counted only."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._steps: list[Reservoir[int]] = []
        self._beyond = 0

    def reply(self, record: r.ReplyReceived, _: float) -> None:
        """Its context is the prompt and the reply."""
        if not 1 <= record.step <= MOST_STEPS:
            self._beyond += 1
            return
        while len(self._steps) < record.step:
            self._steps.append(Reservoir(PER_STEP, self._random))
        self._steps[record.step - 1].add(record.prompt_tokens + record.completion_tokens)

    def view(self) -> dict[str, object]:
        """Lists of one length, a place per step that anybody made, ready for JSON."""
        made = [(i + 1, one) for i, one in enumerate(self._steps) if one.seen]
        quantiles = {name: [tidy(percentile(one.items, share)) for _, one in made] for name, share in _QUANTILES}
        return {"step": [step for step, _ in made], "agents": [one.seen for _, one in made], **quantiles, "beyond": self._beyond}


_QUANTILES = (("p10", 0.10), ("p25", 0.25), ("p50", 0.50), ("p75", 0.75), ("p90", 0.90), ("max", 1.0))
