"""What happened to the run as a whole: processes, engines lost, a person's hand. Pure."""

from __future__ import annotations

from concur_batch import records as r
from concur_batch.errors import unnamed
from concur_batch.report.tidy import clipped, moment

MOST = 120


class Events:
    """`note` every record of these kinds in order; the first `MOST` events are kept, the others counted."""

    def __init__(self) -> None:
        self._kept: list[dict[str, object]] = []
        self._more = 0
        self._segments = 0
        self._policies: dict[str, str] = {}
        self._steered = r.Steered(t=0.0)

    def segment(self, record: r.SegmentStarted, at: float) -> None:
        """A process began; the first is no event."""
        self._segments += 1
        self._steered = r.Steered(t=0.0)  # a process begins without a hand on it
        if self._segments > 1:
            self._add(at, "resumed", f"segment {self._segments} begins, on {record.host}", line=True)

    def seen(self, record: r.EngineSeen, at: float) -> None:
        """A policy that is another than before is an event."""
        before = self._policies.get(record.engine)
        if before is not None and before != record.policy:
            self._add(at, "policy", f"{record.policy or 'none'} in place of {before or 'none'} on {record.engine}", line=True)
        self._policies[record.engine] = record.policy

    def lost(self, record: r.EngineLost, at: float) -> None:
        """An engine went away."""
        self._add(at, "engine lost", f"{record.engine}: {unnamed(record.message, record.engine)}", line=True)

    def returned(self, record: r.EngineReturned, at: float) -> None:
        """An engine came back."""
        self._add(at, "engine back", f"{record.engine}, after {record.away_s:.1f} s", line=True)

    def drain(self, record: r.DrainStarted, at: float) -> None:
        """No new steps."""
        self._add(at, "draining", record.cause, line=True)

    def steered(self, record: r.Steered, at: float) -> None:
        """A person took a hand."""
        before, self._steered = self._steered, record
        said = []
        if record.held != before.held:
            said.append("admission held" if record.held else "admission released")
        if record.factor != before.factor:
            said.append("limits as the controller decides" if record.factor == 1 else f"limits times {record.factor:g}")
        self._add(at, "steered", f"by hand: {', '.join(said) or 'as before'}", line=True)

    def finished(self, record: r.SegmentFinished, at: float) -> None:
        """A process ended in order."""
        self._add(at, "ended", record.cause, line=record.cause != "finished")

    def _add(self, at: float, what: str, detail: str, *, line: bool) -> None:
        if len(self._kept) >= MOST:
            self._more += 1
            return
        self._kept.append({"t": moment(at), "what": what, "detail": clipped(detail, 300), "line": line})

    def view(self) -> dict[str, object]:
        """Ready for JSON; `line`: worth a line through the charts."""
        return {"kept": self._kept, "more": self._more}
