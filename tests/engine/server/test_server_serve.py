"""The process: one line when it listens, an end when it is told, and a clear word where the port is taken."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from urllib.request import Request, urlopen

import pytest
from served import server

from concur_batch.engine.server.serve import serve
from concur_batch.errors import InputError

PROGRAM = """
from dataclasses import replace
from served import server
from concur_batch.engine.server.serve import serve
raise SystemExit(serve(replace(server(speed=1000.0).state.service.settings, port=0)))
"""


def asked(url, **fields):
    body = {"messages": [{"role": "user", "content": "Hi"}], **fields}
    return Request(f"{url}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serves_until_it_is_told_to_stop(number):
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=__file__.rpartition("/")[0],
    )
    try:
        line = program.stdout.readline()
        assert line.startswith(
            "simulated SGLang 0.5.23 (round, pool of 20,000 tokens, 1000 times faster than real time) listens on"
        )
        url = line.split()[-1]
        with urlopen(asked(url, max_tokens=5), timeout=30) as answer:
            assert json.load(answer)["usage"]["completion_tokens"] == 5
        with urlopen(asked(url, max_tokens=9_000, stream=True), timeout=30) as stream:
            stream.readline()
            program.send_signal(number)
            assert b'"finish_reason":"abort"' in stream.read()
        assert (program.wait(30), program.stdout.read()) == (0, "")
    finally:
        with contextlib.suppress(ProcessLookupError):
            program.kill()
        program.wait(10)
        program.stdout.close()


def settings(**fields):
    return replace(server().state.service.settings, **fields)


def test_a_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            InputError, match=rf"port {port} on 127\.0\.0\.1 is in use by another program; give a free one with --port"
        ):
            serve(settings(port=port))


def test_an_address_that_is_not_here():
    with pytest.raises(InputError, match=r"cannot listen on 203\.0\.113\.1:1024: .*; give another --host or --port"):
        serve(settings(host="203.0.113.1", port=1024))
