"""How rollouts failed: counts by error class, a few examples of each. Pure."""

from __future__ import annotations

from collections import Counter

from concur_batch import records as r
from concur_batch.report.tidy import clipped, named

MOST_CLASSES = 40
EXAMPLES = 5  # per class, with different messages
MESSAGE_CHARS = 1_500


class Failures:
    """`started` and `finished` in order: a failure counts until its rollout is tried again."""

    def __init__(self) -> None:
        self._classes: dict[str, str] = {}  # rollout -> error class
        self._examples: dict[str, dict[str, dict[str, object]]] = {}  # class -> rollout -> example
        self._calls: Counter[str] = Counter()

    def started(self, record: r.RolloutStarted, _: float) -> None:
        """Another attempt takes a failure back."""
        error_class = None if record.resumed else self._classes.pop(record.rollout, None)
        if error_class is not None:
            self._examples[error_class].pop(record.rollout, None)

    def call_failed(self, record: r.CallFailed, _: float) -> None:
        """A model call raised into the agent."""
        self._calls[clipped(record.error, 80)] += 1

    def finished(self, record: r.RolloutFinished, _: float) -> None:
        """Take an end in; one without an error is passed over."""
        if record.error is None:
            return
        error_class = record.error.error_class
        message = clipped(record.error.message.removeprefix(f"{record.rollout}: "), MESSAGE_CHARS)  # stands beside the rollout
        self._classes[record.rollout] = error_class
        examples = self._examples.setdefault(error_class, {})
        if len(examples) < EXAMPLES and all(message != example["message"] for example in examples.values()):
            examples[record.rollout] = {
                "rollout": named(record.rollout),
                "message": message,
                "steps": record.n_steps,
                "attempt": record.attempt,
            }

    def counts(self) -> dict[str, int]:
        """Failed rollouts by error class, the most first."""
        return dict(Counter(self._classes.values()).most_common())

    def view(self) -> dict[str, object]:
        """Ready for JSON."""
        classes = [
            {"class": clipped(name), "count": count, "examples": list(self._examples[name].values())}
            for name, count in list(self.counts().items())[:MOST_CLASSES]
        ]
        return {"classes": classes, "calls": [{"error": name, "count": n} for name, n in self._calls.most_common(20)]}
