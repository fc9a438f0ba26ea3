"""A run as metric families: what Prometheus is served."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from concur_batch import __version__
from concur_batch.metrics.gauges import GAUGES, Reading, beside_a_writer, readings
from concur_batch.metrics.tally import COUNTERS, HISTOGRAMS, Tally, Values
from concur_batch.state import RunState

PREFIX = "concur_"
_log = logging.getLogger(__name__)


def registry(state: RunState, tally: Tally, run: str) -> CollectorRegistry:
    """Everything of one run, and of its process; `run` is its name. Not the registry that the whole process shares."""
    own = CollectorRegistry(auto_describe=False)
    own.register(_RunCollector(state, tally, run))
    ProcessCollector(registry=own)
    return own


class _RunCollector(Collector):
    def __init__(self, state: RunState, tally: Tally, run: str) -> None:
        self._state = state
        self._tally = tally
        self._run = run

    def collect(self) -> Iterator[Metric]:
        info = {"version": __version__, "run": _utf8(self._run)}
        yield InfoMetricFamily(f"{PREFIX}run", "The run that is served here.", value=info)
        yield from _gauges(self._readings())
        for name, (told, labels) in COUNTERS.items():
            counter = CounterMetricFamily(PREFIX + name, told, labels=labels)
            for values, amount in list(self._tally.counters[name].items()):
                counter.add_metric(_shown(values), amount)
            yield counter
        for name, (told, labels, _) in HISTOGRAMS.items():
            histogram = HistogramMetricFamily(PREFIX + name, told, labels=labels)
            for values, observed in list(self._tally.histograms[name].items()):
                histogram.add_metric(_shown(values), observed.buckets, observed.total)
            yield histogram

    def _readings(self) -> list[Reading]:
        try:
            return beside_a_writer(lambda: list(readings(self._state)))
        except Exception:  # noqa: BLE001 - counters can be served all the same
            _log.exception("metrics: the run's state could not be read")
            return []


def _gauges(known: list[Reading]) -> Iterator[Metric]:
    by_name: defaultdict[str, list[tuple[Values, float]]] = defaultdict(list)
    for name, values, value in known:
        by_name[name].append((values, value))
    for name, (told, labels) in GAUGES.items():
        family = GaugeMetricFamily(PREFIX + name, told, labels=labels)
        for values, value in by_name[name]:
            family.add_metric(_shown(values), value)
        yield family


def _shown(values: Iterable[str]) -> list[str]:
    return [_utf8(value) for value in values]


def _utf8(text: str) -> str:
    """One value that is no UTF-8, as a folder's name may be, would take all others along with it."""
    return text.encode("utf-8", "replace").decode()
