"""Those who look on while a segment runs: metrics and traces. None of them can hold up or end the run."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from concur_batch.config import Config
from concur_batch.errors import InputError
from concur_batch.journal.reader import JournalReader
from concur_batch.recorder import Sink
from concur_batch.records import Record
from concur_batch.state import RunState

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def observers(run_dir: Path, config: Config, state: RunState) -> Iterator[list[Sink]]:
    """The sinks of all that are wanted. Raises ConcurError, before anything has begun, where one of them cannot be had."""
    run, sinks = config.run, []
    with contextlib.ExitStack() as stack:
        if run.metrics_port is not None:
            from concur_batch.metrics.exposition import registry  # noqa: PLC0415 - only for those who want it
            from concur_batch.metrics.listener import serving  # noqa: PLC0415 - the same
            from concur_batch.metrics.tally import Tally  # noqa: PLC0415 - the same

            tally = Tally()
            url = stack.enter_context(serving(registry(state, tally, run_dir.name), run.metrics_host, run.metrics_port))
            print(f"metrics: {url}", file=sys.stderr)  # noqa: T201 - for the user
            sinks.append(guarded("metrics", tally))
        if run.otel:
            sinks.append(guarded("otel", stack.enter_context(_tracing(run_dir, state))))
        yield sinks


@contextlib.contextmanager
def _tracing(run_dir: Path, state: RunState) -> Iterator[Sink]:
    """Spans to a collector. Says at the end what it did not take."""
    try:
        from concur_batch.tracing import delivery, identity, spans  # noqa: PLC0415 - an extra, only for those who want it
    except ImportError as error:
        raise InputError(f"--otel: needs OpenTelemetry ({error}); install it by: pip install 'concur-batch[otel]'") from error
    except ValueError as error:  # some of its variables it reads while it is imported
        raise InputError(f"--otel: cannot be set up by the OTEL_* variables ({error}); correct them") from error
    exporter, where = delivery.collector(os.environ), delivery.endpoint(os.environ)
    earlier = identity.last_segments(JournalReader(run_dir).records()) if state.segments else {}
    with delivery.delivering(exporter, run_dir.name, os.environ) as sent:
        print(f"otel: spans go to {where}", file=sys.stderr)  # noqa: T201 - for the user
        sink = spans.Spans(sent.tracer, sent.ids, state, earlier)
        try:
            yield sink
        finally:
            try:
                sink.close()
            except Exception:  # noqa: BLE001 - the same as in `guarded`
                _log.exception("otel: spans of unfinished rollouts could not be closed")
    if sent.delivered < sent.made:
        lost = f"{sent.made - sent.delivered:,} of {sent.made:,} spans were not delivered"
        print(f"otel: {lost}; is a collector at {where}, and fast enough? The run itself is whole.", file=sys.stderr)  # noqa: T201 - the same


def guarded(name: str, sink: Sink) -> Sink:
    """The same sink; its first fault is logged, and from then on it gets no more records."""
    broken = False

    def write(record: Record) -> None:
        nonlocal broken
        if broken:
            return
        try:
            sink(record)
        except Exception:  # noqa: BLE001 - whatever it is, it is not worth the run
            broken = True
            _log.exception("%s: broke at a record of kind %s and is told no more; the run goes on", name, type(record).__name__)

    return write
