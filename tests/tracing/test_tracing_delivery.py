import threading

import pytest
from traced import collecting, ended, replied, seen, segment, started

from concur_batch.errors import InputError
from concur_batch.state import RunState
from concur_batch.tracing.delivery import collector, delivering, endpoint
from concur_batch.tracing.spans import Spans

STORY = [segment(), seen(), started(), replied(), ended()]


def send(exporter, env=None, **options):
    state = RunState()
    with delivering(exporter, "first", env or {}, **options) as sent:
        sink = Spans(sent.tracer, sent.ids, state, {})
        for record in STORY:
            state.apply(record)
            sink(record)
        sink.close()
    return sent


def test_a_collector_gets_whole_traces(monkeypatch):
    with collecting() as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
        sent = send(collector({"OTEL_EXPORTER_OTLP_ENDPOINT": server.url}))
        assert (sent.made, sent.delivered) == (2, 2)
        assert server.paths == ["/v1/traces"]
        by_name = {span.name: span for span in server.spans}
        assert by_name["chat m"].parent_span_id == by_name["invoke_agent react"].span_id
        assert (server.resources[0]["service.name"], server.resources[0]["concur.run"]) == ("concur", "first")


def test_the_user_names_the_service(monkeypatch):
    with collecting() as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "nightly")
        send(collector({}), {"OTEL_SERVICE_NAME": "nightly"})
        assert server.resources[0]["service.name"] == "nightly"


def test_one_that_never_answers_is_left_after_a_while(monkeypatch):
    hold = threading.Event()
    with collecting(hold=hold) as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
        sent = send(collector({}), patience_s=0.3)
        assert (sent.made, sent.delivered) == (2, 0)
        hold.set()


def test_one_that_is_not_there_or_refuses_is_counted(monkeypatch):
    with collecting(status=400) as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
        assert send(collector({})).delivered == 0
    sent = send(collector({}), patience_s=0.3)  # its port is closed now
    assert (sent.made, sent.delivered) == (2, 0)


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc: --otel speaks http/protobuf only"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "must be a URL such as http://localhost:4318"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://[::1"}, "must be a URL such as http://localhost:4318"),
    ],
)
def test_variables_that_ask_for_what_there_is_not(env, said):
    with pytest.raises(InputError, match=said):
        collector(env)


@pytest.mark.parametrize(
    "env",
    [
        {"OTEL_BSP_SCHEDULE_DELAY": "0"},
        {"OTEL_BSP_MAX_QUEUE_SIZE": "-5"},
        {"OTEL_BSP_MAX_QUEUE_SIZE": "256", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "512"},
        {"OTEL_ATTRIBUTE_COUNT_LIMIT": "-1"},
    ],
)
def test_variables_that_opentelemetry_refuses_are_an_error_of_input(env, monkeypatch):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=r"--otel: cannot be set up by the OTEL_\* variables \(.*\); correct them"):
        send(collector(env), env)


def test_a_short_queue_is_sent_in_batches_that_fit_it(monkeypatch):
    with collecting() as server:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": server.url, "OTEL_BSP_MAX_QUEUE_SIZE": "256"}
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        assert send(collector(env), env).delivered == 2


def test_the_endpoint_is_shown_without_its_password():
    assert endpoint({}) == "http://localhost:4318"
    assert endpoint({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://me:pw@host:1/x"}) == "https://host:1"
    assert endpoint({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b"}) == "http://b"
