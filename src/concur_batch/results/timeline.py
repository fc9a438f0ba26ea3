"""How a run went over time, folded from what its controller saw and decided: hit rate, window, agents, cache, speed. Pure."""

from __future__ import annotations

from concur_batch import records as r
from concur_batch.results.bins import MOST_BINS, Bins
from concur_batch.results.elapsed import Elapsed
from concur_batch.results.sparklines import Sparklines, Track

SHARES = ("hit_rate", "miss_rate", "locked", "resident", "limit")
AGENTS = ("window", "active", "running_requests")
MEASURES = ("hit_rate", "miss_rate", *AGENTS, "waiting", "limit", "locked", "resident", "generated_per_s")  # as they are shown
_NAMES = {
    "limit": "token limit",
    "hit_rate": "hit rate",
    "miss_rate": "recomputed",
    "running_requests": "running",
    "generated_per_s": "generated/s",
}

Ratio = tuple[float, float]  # a sum over an interval, and the sum it is to be divided by
_NOTHING: Ratio = (0.0, 0.0)


class Timeline:
    """`apply` every record of one run in order; one engine's is kept: the first that is sampled.

    `limit` is that on tokens, as a share of the pool; `window` that on agents.

    Each measure is kept as two sums per bin, whose ratio is its mean: cached / prompt for the hit rate, missed / history
    for the miss rate, value x seconds / seconds for what is read. So bins can be added up; no more than `most` are held.
    A sample covers the time since the one before it. What came after the last sample is not in.
    """

    def __init__(self, *, most: int = MOST_BINS) -> None:
        self._engine: str | None = None
        self._bins = Bins(2 * len(MEASURES), most=most)
        self._elapsed = Elapsed()
        self._sampled = 0.0  # up to here
        self._limits: dict[str, r.Decided] = {}  # engine -> what is in force

    def apply(self, record: r.Record) -> None:
        """Take one record in. Kinds other than Sampled and Decided only let time pass."""
        at = self._elapsed.at(record)
        if isinstance(record, r.SegmentStarted):
            self._sampled = at
            self._limits.clear()
        elif isinstance(record, r.Decided):
            self._limits[record.engine] = record
        elif isinstance(record, r.Sampled):
            if self._engine is None:
                self._engine = record.engine
            if record.engine == self._engine:
                ratios = _ratios(record, self._limits.get(record.engine), at - self._sampled)
                self._bins.add(self._sampled, at, [part for measure in MEASURES for part in ratios[measure]])
                self._sampled = at

    def series(self, columns: int | None = None) -> dict[str, list[float | None]]:
        """Means over intervals of equal length: `columns` of them, or as many as are held.

        `t` is each interval's end in seconds of work since the batch's start; shares are 0..1; None where nothing is
        known. All lists are of one length, empty before the first sample.
        """
        bins = self._bins if columns is None else self._bins.resampled(columns)
        found: dict[str, list[float | None]] = {"t": [min((i + 1) * bins.width, self._bins.end) for i in range(len(bins.rows))]}
        for place, measure in enumerate(MEASURES):
            sums = [(row[2 * place], row[2 * place + 1]) for row in bins.rows]
            found[measure] = [amount / whole if whole > 0 else None for amount, whole in sums]
        return found

    def render(self, width: int = 80) -> Sparklines:
        """For `console.print`: one sparkline per measure, `width` cells at most and never wider than the console."""
        note = "Scale: shares 100%; window and running that of active."
        return Sparklines(tracks=self._tracks, seconds=self._bins.end, width=width, note=note)

    def _tracks(self, columns: int) -> list[Track]:
        series = self.series(columns)
        binding = (
            "window" if all(share is None for share in series["limit"]) else "limit"
        )  # one before the first sample binds nobody
        # One scale for what is to be compared. A window that goes on growing while nobody waits must not flatten it.
        most = max((value for value in series["active"] if value is not None), default=0.0)
        return [
            Track(
                name=_NAMES.get(measure, measure),
                values=series[measure],
                top=1.0 if measure in SHARES else most if measure in AGENTS else None,
                is_share=measure in SHARES,
            )
            for measure in MEASURES
            if measure not in ("window", "limit") or measure == binding
        ]


def _ratios(sample: r.Sampled, limit: r.Decided | None, seconds: float) -> dict[str, Ratio]:
    """The sums that one sample stands for; `limit` is what was in force over its `seconds`."""

    def read(value: float | None) -> Ratio:
        return _NOTHING if value is None else (value * seconds, seconds)

    def share(part: int | None, whole: int) -> Ratio:
        return _NOTHING if part is None else (part, whole)

    return {
        "hit_rate": share(sample.cached_tokens, sample.prompt_tokens),
        "miss_rate": share(sample.missed_tokens, sample.history_tokens),
        "locked": read(sample.locked),
        "resident": read(sample.resident),
        "limit": read(limit.tokens / sample.capacity_tokens if limit and limit.tokens and sample.capacity_tokens else None),
        "window": read(limit.agents if limit else None),
        "active": read(sample.active),
        "running_requests": read(sample.running_requests),
        "waiting": read(sample.waiting),
        "generated_per_s": (sample.generated_tokens, seconds),
    }
