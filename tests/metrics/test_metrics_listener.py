import socket
import struct
import urllib.error
import urllib.request

import pytest
from metered import STORY, Metered

from concur_batch.errors import InputError
from concur_batch.metrics.listener import serving


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def test_a_free_port_serves_while_the_block_runs():
    metered = Metered(STORY)
    with serving(metered.registry, "127.0.0.1", 0) as url:
        kind, text = get(url)
        assert kind.startswith("text/plain; version=")
        assert "concur_steps_total" in text
        metered.take(STORY[9:10])
        assert 'concur_steps_total{engine="e"} 3.0' in get(url)[1]
    with pytest.raises(urllib.error.URLError):
        get(url)


def test_a_client_that_goes_away_is_nothing_to_tell_the_user(capfd):
    with serving(Metered(STORY).registry, "127.0.0.1", 0) as url:
        port = int(url.split(":")[2].split("/")[0])
        for sent in (b"", b"GET /met", b"GET /metrics HTTP/1.1\r\n\r\n", b"\x00\xff\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(sent)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset rather than closed
        assert "concur_steps_total" in get(url)[1]
    assert capfd.readouterr() == ("", "")


def test_a_port_that_is_taken_is_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"--metrics-port {port}: .*Address already in use.*or 0"):
            serving(Metered().registry, "127.0.0.1", port).__enter__()


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_that_is_not_ours_is_one_sentence(host):
    with pytest.raises(InputError, match=r"run\.metrics_host"):
        serving(Metered().registry, host, 0).__enter__()
