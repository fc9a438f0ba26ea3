"""/metrics: names, types and labels as SGLang's, values as old as its."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from concur_batch.engine.server.gauges import constant_gauges, fixed_gauges, written_gauges
from concur_batch.engine.server.service import Service
from concur_batch.engine.server.tally import COUNTERS, HISTOGRAMS, Labels

_PREFIX = "sglang:"
_CACHE = {"0.5.23": "UnifiedRadixCache", "0.5.8": "RadixCache"}
_HOST_CACHE = "HiRadixCache"  # of 0.5.8 with a host tier


async def metrics(request: Request) -> Response:
    """Prometheus' text format. Reading brings counters up to now, and gauges only to where SGLang would have written them."""
    service: Service = request.app.state.service
    service.pump.settle()
    return Response(generate_latest(_registry(service)), media_type="text/plain; version=0.0.4; charset=utf-8")


def _registry(service: Service) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Readings(service))
    return registry


class _Readings(Collector):
    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        service = self._service
        labels = service.tally.scheduler_labels()
        for name, value in fixed_gauges(service.options).items():
            yield _gauge(name, [(labels, value)])
        gauges = service.core.reporter.gauges
        if gauges is not service.unwritten:
            written = written_gauges(service.options, service.core.cache.capacity, gauges)
            by_priority = {"num_running_reqs": gauges.running_by, "num_queue_reqs": gauges.queued_by}
            for name, value in (written | constant_gauges(service.options)).items():
                counts = by_priority.get(name, {})
                yield _gauge(name, [(labels, value), *((_with_priority(labels, one), count) for one, count in counts.items())])
            own = (*labels[:3], ("pid", str(os.getpid())), *labels[3:])
            yield _gauge("num_retracted_reqs", [(own, gauges.retracted)])
            yield _gauge("num_paused_reqs", [(own, 0)])
        yield from _scheduler_counters(service, labels)
        yield from _tallied(service)


def _scheduler_counters(service: Service, labels: Labels) -> Iterator[Metric]:
    """They appear with their first use."""
    counters, cache = service.core.reporter.counters, service.core.cache
    if counters.prefill_compute:
        modes = {"prefill_compute": counters.prefill_compute, "prefill_cache": counters.prefill_cache, "decode": counters.decode}
        yield _counter("realtime_tokens", "Tokens processed.", _by_mode(labels, modes))
    if not service.options.is_old:
        hits = {"input": counters.input, "device_hit": counters.device_hit, "host_hit": counters.host_hit, "storage_hit": 0}
        yield _counter("prefill_effective_tokens", "Prompt tokens by source, retracted requests once.", _by_mode(labels, hits))
    if counters.retracted_requests:
        retracted = {
            "requests": counters.retracted_requests,
            "input_tokens": counters.retracted_input,
            "output_tokens": counters.retracted_output,
        }
        for what, value in retracted.items():
            yield _counter(f"num_retracted_{what}", f"Retracted {what.replace('_', ' ')}.", [(labels, value)])
    if cache.evicted_total:
        yield _counter("evicted_tokens", "KV tokens freed by eviction.", _by_rank(service, cache.evicted_total))
    if counters.load_back:
        yield _counter("load_back_tokens", "KV tokens brought back from host memory.", _by_rank(service, counters.load_back))


def _with_priority(labels: Labels, priority: int) -> Labels:
    """The same labels for one priority; those of the total have it empty."""
    return tuple((name, str(priority) if name == "priority" else value) for name, value in labels)


def _by_mode(labels: Labels, modes: dict[str, int]) -> list[tuple[Labels, float]]:
    return [(tuple(sorted((*labels, ("mode", mode)))), value) for mode, value in modes.items()]


def _by_rank(service: Service, value: float) -> list[tuple[Labels, float]]:
    """Every tensor-parallel rank tells of the radix cache, each the same: summing them counts too much."""
    options = service.options
    kind = _HOST_CACHE if options.is_old and options.host_ratio else _CACHE[options.version]
    ranks = (str(rank) for rank in range(options.gpus))
    return [((("cache_type", kind), ("dp_rank", "0"), ("pp_rank", "0"), ("tp_rank", rank)), value) for rank in ranks]


def _tallied(service: Service) -> Iterator[Metric]:
    tally = service.tally
    for name, counted in tally.counters.items():
        if counted:
            yield _counter(name, COUNTERS[name], counted.items())
    if tally.active:
        yield _gauge("http_requests_active", tally.active.items())
    for name, histograms in tally.histograms.items():
        if not histograms:
            continue
        family = HistogramMetricFamily(_PREFIX + name, HISTOGRAMS[name][0], labels=_names(histograms))
        for labels, histogram in histograms.items():
            family.add_metric([value for _, value in labels], histogram.buckets, histogram.total)
        yield family


def _gauge(name: str, series: Iterable[tuple[Labels, float]]) -> Metric:
    rows = list(series)
    family = GaugeMetricFamily(_PREFIX + name, _told(name), labels=_names(labels for labels, _ in rows))
    for labels, value in rows:
        family.add_metric([text for _, text in labels], value)
    return family


def _counter(name: str, told: str, series: Iterable[tuple[Labels, float]]) -> Metric:
    rows = list(series)
    family = CounterMetricFamily(_PREFIX + name, told, labels=_names(labels for labels, _ in rows))
    for labels, value in rows:
        family.add_metric([text for _, text in labels], value)
    return family


def _names(series: Iterable[Labels]) -> list[str]:
    return [name for name, _ in next(iter(series))]


def _told(name: str) -> str:
    return name.replace("_", " ").replace("num ", "number of ").replace("reqs", "requests") + "."
