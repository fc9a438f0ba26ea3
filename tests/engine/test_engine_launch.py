import importlib.util
import os
import socket
import sys
from pathlib import Path

import pytest

from concur_batch.engine.launch import port_to_use, tail
from concur_batch.engine.launch_command import RECOMMENDED, SESSION_CACHE, given, start
from concur_batch.engine.launch_python import find_sglang
from concur_batch.errors import InputError


def plan(*extra, **options):
    return start("m", extra, **({"host": "127.0.0.1", "port": 30000} | options))


def test_what_we_add():
    begun = plan()
    assert begun.arguments == [
        *("-m", "sglang.launch_server", "--model-path", "m", "--host", "127.0.0.1", "--port", "30000"),
        *RECOMMENDED,
    ]
    assert begun.url == "http://127.0.0.1:30000"
    assert begun.api_key is None


@pytest.mark.parametrize("flag", RECOMMENDED)
def test_a_flag_of_the_users_is_not_doubled(flag):
    assert plan("--tp", "4", flag).arguments.count(flag) == 1


def test_where_users_say_otherwise_theirs_stands_alone():
    begun = plan("--model", "other", "--host=0.0.0.0", "--port", "7")
    assert begun.arguments[2:5] == list(RECOMMENDED)
    assert begun.arguments[5:] == ["--model", "other", "--host=0.0.0.0", "--port", "7"]
    assert begun.url == "http://127.0.0.1:7"


def test_addresses():
    assert plan(host="::").url == "http://[::1]:30000"
    assert plan(host="fe80::1").url == "http://[fe80::1]:30000"
    assert plan(host="node7").url == "http://node7:30000"


def test_a_certificate_makes_it_https():
    for extra in (["--ssl-certfile", "c.pem", "--ssl-keyfile", "k.pem"], ["--ssl-certfile=c.pem"]):
        assert plan(*extra).url == "https://127.0.0.1:30000"
    assert plan("--ssl-keyfile", "k.pem").url == "http://127.0.0.1:30000"


def test_no_session_cache_where_it_cannot_be():
    assert SESSION_CACHE not in plan(session_cache=False).arguments
    assert SESSION_CACHE not in plan("--disable-radix-cache").arguments
    assert SESSION_CACHE not in plan(known=RECOMMENDED[:2]).arguments
    assert plan("--radix-cache-backend", "mine", SESSION_CACHE).arguments.count(SESSION_CACHE) == 1


def test_keys_are_used_and_not_shown():
    for extra in (["--api-key", "sesame"], ["--api-key=sesame"]):
        begun = plan(*extra, "--tp", "2")
        assert begun.api_key == "sesame"
        assert "sesame" not in begun.shown
        assert begun.shown.endswith("--tp 2")


def test_options_as_argparse_reads_them():
    assert given(["--a", "1", "--b", "--a=2"], "--a") == "2"
    assert given(["--a", "--b"], "--a") == ""
    assert given(["--a"], "--a", "-a") == ""
    assert given(["--ab", "1"], "--a") is None


def environment(folder: Path, text: str) -> Path:
    """An environment whose Python finds an SGLang with these options. Importing it fails."""
    package = folder / "site" / "sglang"
    (package / "srt").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "launch_server.py").touch()
    (package / "srt" / "server_args.py").write_text(text)
    (folder / "bin").mkdir()
    python = folder / "bin" / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={package.parent} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return folder


def test_finds_sglang_without_importing_it_and_the_flags_it_knows(tmp_path):
    folder = environment(tmp_path, 'parser.add_argument("--enable-metrics")\nenable_cache_report: bool = False')
    for place in (folder, folder / "bin" / "python"):
        found = find_sglang(str(place), RECOMMENDED)
        assert found.known == ("--enable-metrics", "--enable-cache-report")
        assert found.python == str(folder / "bin" / "python")


def test_where_there_is_none(tmp_path):
    with pytest.raises(InputError, match="no such Python"):
        find_sglang(str(tmp_path), ())
    with pytest.raises(InputError, match="does not answer as a Python does"):
        find_sglang("/bin/true", ())


@pytest.mark.skipif(importlib.util.find_spec("sglang") is not None, reason="there is one")
def test_where_there_is_a_python_without_it():
    with pytest.raises(InputError, match="has no sglang; install it there"):
        find_sglang(sys.executable, ())


def test_ports():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match="in use by another program"):
            port_to_use("127.0.0.1", port)
        assert port_to_use("127.0.0.1", None, default=port) not in (0, port)
    assert port_to_use("127.0.0.1", port) == port
    with pytest.raises(InputError, match="no such address"):
        port_to_use("no.such.host.invalid", 1)
    with pytest.raises(InputError, match="there is no such address"):
        port_to_use("a" * 70, 1)
    with pytest.raises(InputError, match="ports end at 65535"):
        port_to_use("127.0.0.1", 65_536)


def test_the_end_of_a_log(tmp_path):
    log = tmp_path / "log"
    assert tail(log) == []
    log.write_bytes(b"\xff\n" * 9_000 + b"last\n")
    assert tail(log)[-1] == "last"
    assert len(tail(log)) == 15
    assert os.path.getsize(log) > 16_384  # noqa: PTH202 - only its end was read
