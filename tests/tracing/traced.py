"""Records in, spans out; and a collector to send them to."""

from __future__ import annotations

import http.server
import threading
from contextlib import contextmanager

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from concur_batch import records as r
from concur_batch.state import RunState
from concur_batch.tracing.delivery import delivering
from concur_batch.tracing.identity import last_segments
from concur_batch.tracing.spans import Spans

EPOCH = 1_700_000_000.0


def segment(epoch=EPOCH):
    return r.SegmentStarted(t=0.0, epoch=epoch, host="h", pid=1, version="0")


def seen(kind="sglang", engine="http://10.0.0.1:30000"):
    return r.EngineSeen(t=0.0, engine=engine, engine_kind=kind)


def started(rollout="a#0", t=1.0, engine="http://10.0.0.1:30000", **fields):
    task, k = rollout.rsplit("#", 1)
    given = {"model": "m", "seed": 7, "messages": [{"role": "user", "content": "secret question"}]} | fields
    return r.RolloutStarted(t=t, rollout=rollout, engine=engine, task=task, k=int(k), index=0, **given)


def replied(rollout="a#0", t=4.0, step=1, n=1, engine="http://10.0.0.1:30000", **fields):
    given = {"prompt_tokens": 100, "completion_tokens": 10, "finish_reason": "stop", "model_s": 2.5} | fields
    message = {"role": "assistant", "content": "secret answer"}
    return r.ReplyReceived(
        t=t, rollout=rollout, engine=engine, step=step, n=n, hash="h", base=0, new=[], message=message, **given
    )


def tool_started(rollout="a#0", t=4.0, n=2, **fields):
    return r.ToolStarted(t=t, rollout=rollout, step=1, n=n, tool="shell", hash="h", call_id=f"call_{n}", **fields)


def tool_finished(rollout="a#0", t=4.5, n=2, **fields):
    given = {"seconds": 0.5, "call_id": f"call_{n}", "output": "secret observation"} | fields
    return r.ToolFinished(t=t, rollout=rollout, step=1, n=n, tool="shell", **given)


def ended(rollout="a#0", t=9.0, status="completed", **fields):
    return r.RolloutFinished(t=t, rollout=rollout, engine="http://10.0.0.1:30000", status=status, **fields)


def spans_of(records, before=()):
    """By name; `before`: records of earlier segments."""
    exporter, state = InMemorySpanExporter(), RunState()
    for record in before:
        state.apply(record)
    with delivering(exporter, "first", {}) as sent:
        sink = Spans(sent.tracer, sent.ids, state, last_segments(before))
        for record in records:
            state.apply(record)
            sink(record)
        sink.close()
    found = exporter.get_finished_spans()
    assert len(found) == sent.made == sent.delivered
    return found


class Collector(http.server.ThreadingHTTPServer):
    """Takes OTLP over HTTP and keeps the spans. `status`: what it answers; `hold`: no answer before that event."""

    daemon_threads = True

    def __init__(self, status=200, hold=None):
        self.spans, self.resources, self.paths = [], [], []
        self.status, self.hold = status, hold
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.hold is not None:
            self.server.hold.wait(60)
        request = ExportTraceServiceRequest.FromString(body)
        self.server.paths.append(self.path)
        for resource in request.resource_spans:
            self.server.resources.append({one.key: one.value.string_value for one in resource.resource.attributes})
            for scope in resource.scope_spans:
                self.server.spans.extend(scope.spans)
        try:
            self.send_response(self.server.status)
            self.send_header("Content-Length", "0")
            self.end_headers()
        except OSError:
            return  # nobody waits any more

    def log_message(self, *_):
        pass


@contextmanager
def collecting(**options):
    with Collector(**options) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
