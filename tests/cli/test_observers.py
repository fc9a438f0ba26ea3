"""`--metrics-port` and `--otel` as a user gives them, and what becomes of an observer that breaks."""

import json
import os
import re
import subprocess
import sys
import urllib.request

import pytest
from forked import PIPE, Program, concur
from traced import collecting

from concur_batch import records as r
from concur_batch.cli.run.observers import guarded

WAIT = "touch began; while [ ! -e go ]; do sleep 0.05; done"


def write_job(folder, commands=()):
    calls = [{"tool_calls": [{"name": "shell", "arguments": {"command": f"cd {folder}; {command}"}}]} for command in commands]
    row = {"id": "t", "prompt": "x", "tools": ["shell"], "script": [*calls, "done"]}
    (folder / "job.jsonl").write_text(json.dumps(row) + "\n")


def test_metrics_are_served_while_it_runs(tmp_path):
    write_job(tmp_path, [WAIT])
    with Program("run", "job.jsonl", "--out", "out", "--no-live", "--metrics-port", "0", cwd=tmp_path, stderr=PIPE) as process:
        url = re.search(r"metrics: (http://127\.0\.0\.1:\d+/metrics)", process.stderr.readline())[1]
        while True:
            with urllib.request.urlopen(url, timeout=10) as answer:
                text = answer.read().decode()
            if 'concur_active_agents{engine="sim",phase="tool"} 1.0' in text:
                break
            assert process.poll() is None
        assert 'concur_steps_total{engine="sim"} 1.0' in text
        assert 'concur_run_info{run="out"' in text
        port = url.split(":")[2].split("/")[0]
        taken = concur("run", "job.jsonl", "--out", "second", "--metrics-port", port, cwd=tmp_path)
        assert (taken.returncode, "Traceback" in taken.stderr) == (2, False)
        assert f"--metrics-port {port}: cannot listen on 127.0.0.1 (Address already in use)" in taken.stderr
        assert not (tmp_path / "second").exists()
        (tmp_path / "go").touch()
        assert process.wait(60) == 0


def test_spans_reach_a_collector_also_over_a_resume(tmp_path):
    write_job(tmp_path, ["[ -e go ] || kill -INT $(cat pid)", "true"])
    with collecting() as server:
        env = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": server.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        code = "import os, sys, concur_batch.cli.main as m; open('pid', 'w').write(str(os.getpid())); m.main()"
        arguments = ["run", "job.jsonl", "--out", "out", "--no-live", "--otel", "--set", "tools.sandbox=off"]
        drained = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert drained.returncode == 130, drained.stderr
        assert f"otel: spans go to {server.url}" in drained.stderr
        assert "not delivered" not in drained.stderr
        first = list(server.spans)
        (tmp_path / "go").touch()
        resumed = concur("resume", "out", "--no-live", cwd=tmp_path, env=env)
        assert resumed.returncode == 0, resumed.stderr
        second = server.spans[len(first) :]
    assert [span.name.split()[0] for span in first] == ["chat", "execute_tool", "invoke_agent"]
    assert sorted(span.name.split()[0] for span in second) == ["chat", "chat", "execute_tool", "invoke_agent"]
    (link,) = second[-1].links
    assert link.span_id == first[-1].span_id


def test_no_collector_costs_the_spans_only(tmp_path):
    write_job(tmp_path)
    env = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    done = concur("run", "job.jsonl", "--out", "out", "--no-live", "--otel", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert "otel: 2 of 2 spans were not delivered; is a collector at http://127.0.0.1:9" in done.stderr


@pytest.mark.parametrize(
    "env",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://[::1"},
        {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "-1"},  # read while it is imported
    ],
)
def test_variables_that_cannot_be_are_one_sentence(tmp_path, env):
    write_job(tmp_path)
    done = concur("run", "job.jsonl", "--out", "out", "--no-live", "--otel", cwd=tmp_path, env=os.environ | env)
    assert done.returncode == 2, done.stderr
    assert (
        f"concur: {next(iter(env))}" in done.stderr or "concur: --otel: cannot be set up by the OTEL_* variables" in done.stderr
    )
    assert "Traceback" not in done.stderr


def test_a_missing_extra_is_one_sentence(tmp_path):
    write_job(tmp_path)
    code = "import sys; sys.modules['opentelemetry'] = None; import concur_batch.cli.main as m; m.main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "job.jsonl", "--out", "out", "--otel"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "pip install 'concur-batch[otel]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_run_without_them_does_not_pay_for_them(tmp_path):
    write_job(tmp_path)
    code = (
        "import sys, concur_batch.cli.main as m\ntry:\n    m.main()\nexcept SystemExit: pass\n"
        "print([name for name in ('opentelemetry', 'concur_batch.metrics', 'concur_batch.tracing') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "job.jsonl", "--out", "out", "--no-live"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_an_observer_that_breaks_is_told_no_more(caplog):
    told = []

    def sink(record):
        told.append(record)
        raise ZeroDivisionError("oops")

    write = guarded("metrics", sink)
    write(r.DrainStarted(t=1.0, cause="SIGINT"))
    write(r.DrainStarted(t=2.0, cause="SIGINT"))
    assert len(told) == 1
    (line,) = caplog.messages
    assert "metrics: broke at a record of kind DrainStarted" in line


@pytest.mark.parametrize("port", ["-1", "65536", "many"])
def test_a_port_that_is_none(tmp_path, port):
    done = concur("run", "job.jsonl", "--metrics-port", port, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
