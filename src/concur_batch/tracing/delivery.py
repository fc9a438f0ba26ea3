"""Spans to a collector, by OTLP over HTTP, set by OpenTelemetry's own variables. Neither a slow nor an absent one holds anything up."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Tracer

from concur_batch import __version__
from concur_batch.errors import InputError
from concur_batch.tracing.identity import SpanIds

PATIENCE_S = 5.0  # at the end, for what has not been delivered yet
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_QUEUE, _BATCH = "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
_BATCH_SPANS = 512  # OpenTelemetry's default
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


@dataclass(slots=True)
class Delivery:
    """Where spans come from and what became of them. Counts are whole once the block of `delivering` has ended."""

    tracer: Tracer
    ids: SpanIds
    made: int = 0
    delivered: int = 0


@contextmanager
def delivering(exporter: SpanExporter, run: str, env: Mapping[str, str], patience_s: float = PATIENCE_S) -> Iterator[Delivery]:
    """Send on what the tracer makes while the block runs, and for `patience_s` after it. What does not fit the queue is lost.

    Raises InputError where the variables ask for what cannot be.
    """
    ids, named = SpanIds(), "service.name" in env.get("OTEL_RESOURCE_ATTRIBUTES", "") or bool(env.get("OTEL_SERVICE_NAME"))
    resource = Resource.create({SERVICE_VERSION: __version__, "concur.run": run} | ({} if named else {SERVICE_NAME: "concur"}))
    try:
        provider = TracerProvider(resource=resource, id_generator=ids, shutdown_on_exit=False)
        delivery = Delivery(provider.get_tracer("concur_batch", __version__), ids)
        counted = _Counted(exporter, delivery)
        provider.add_span_processor(_Made(delivery))
        provider.add_span_processor(BatchSpanProcessor(counted, max_export_batch_size=_batch_spans(env)))
    except ValueError as error:
        raise refused(error) from error
    try:
        yield delivery
    finally:
        closing = threading.Thread(target=provider.shutdown, name="otel", daemon=True)
        closing.start()
        closing.join(patience_s)
        if closing.is_alive():
            counted.shutdown()  # ends its waiting between attempts


def collector(env: Mapping[str, str]) -> SpanExporter:
    """The exporter that the variables describe. Raises InputError where they ask for what it cannot do."""
    protocol = next(((name, env[name]) for name in _PROTOCOLS if env.get(name)), None)
    if protocol is not None and protocol[1] != "http/protobuf":
        raise InputError(
            f"{protocol[0]}={protocol[1]}: --otel speaks http/protobuf only; set it to that, with the collector's HTTP port (4318)"
        )
    variable = next((name for name in _ENDPOINTS if env.get(name)), None)
    if variable is not None and not _is_url(env[variable]):
        raise InputError(f"{variable}: must be a URL such as http://localhost:4318, not {env[variable]!r}")
    try:
        return OTLPSpanExporter()
    except (OSError, ValueError) as error:
        raise refused(error) from error


def refused(error: Exception) -> InputError:
    """What to say where OpenTelemetry has raised `error` over its variables."""
    return InputError(f"--otel: cannot be set up by the OTEL_* variables ({error}); correct them")


def _is_url(text: str) -> bool:
    try:
        return urlsplit(text).scheme in ("http", "https")
    except ValueError:
        return False


def _batch_spans(env: Mapping[str, str]) -> int | None:
    """So many as the queue holds where that is less than the default, and no other number is asked for. None: as the variables say."""
    queue = env.get(_QUEUE, "")
    return int(queue) if _BATCH not in env and queue.isdecimal() and 0 < int(queue) < _BATCH_SPANS else None


def endpoint(env: Mapping[str, str]) -> str:
    """Where the collector is, for people."""
    given = next((env[name] for name in _ENDPOINTS if env.get(name)), "http://localhost:4318")
    url = urlsplit(given)
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}"


class _Made(SpanProcessor):
    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is not None and span.context.trace_flags.sampled:
            self._delivery.made += 1


class _Counted(SpanExporter):
    def __init__(self, exporter: SpanExporter, delivery: Delivery) -> None:
        self._exporter = exporter
        self._delivery = delivery

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._delivery.delivered += len(spans)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()
