import pytest

from concur_batch.engine.address import parse_address
from concur_batch.errors import InputError


@pytest.mark.parametrize(
    ("url", "root", "api"),
    [
        ("http://127.0.0.1:30000", "http://127.0.0.1:30000", "http://127.0.0.1:30000/v1"),
        ("http://127.0.0.1:30000/", "http://127.0.0.1:30000", "http://127.0.0.1:30000/v1"),
        ("http://host:1/v1/", "http://host:1", "http://host:1/v1"),
        ("https://gate.example/team-a", "https://gate.example/team-a", "https://gate.example/team-a/v1"),
        ("https://gate.example/v1beta/openai/", "https://gate.example/v1beta/openai", "https://gate.example/v1beta/openai"),
        ("http://[::1]:8000/v1", "http://[::1]:8000", "http://[::1]:8000/v1"),
        ("http://my_node.1:8000", "http://my_node.1:8000", "http://my_node.1:8000/v1"),
        ("http://node7.:8000", "http://node7.:8000", "http://node7.:8000/v1"),
        ("http://hôte.example:8000/v1", "http://xn--hte-kna.example:8000", "http://xn--hte-kna.example:8000/v1"),
    ],
)
def test_takes_addresses_with_and_without_v1(url, root, api):
    address = parse_address(url)
    assert (address.root, address.api) == (root, api)


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [("127.0.0.1", True), ("localhost", True), ("[::1]", True), ("0.0.0.0", True), ("10.0.0.1", False), ("example.org", False)],
)
def test_knows_loopback(host, is_loopback):
    assert parse_address(f"http://{host}:1").is_loopback is is_loopback


@pytest.mark.parametrize("url", ["localhost:30000", "foo", "ftp://host", "http://", "http://host:port", "http://[::1", ""])
def test_refuses_what_is_no_address(url):
    with pytest.raises(InputError, match=r"give one such as http://127\.0\.0\.1:30000"):
        parse_address(url)


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.256",
        "127.1",
        "1.2.3.4.5",
        "node..cluster",
        ".",
        "a" * 64,
        "é" * 64,
        "node 7",
        "node$",
        "[::g]",
        ".".join(["a" * 50] * 6),
    ],
)
def test_refuses_hosts_that_there_cannot_be(host):
    with pytest.raises(InputError, match=r"give one such as http://127\.0\.0\.1:30000"):
        parse_address(f"http://{host}:30000")


@pytest.mark.parametrize("url", ["http://me:secret@host:1", "http://host:1/v1?api_key=secret"])
def test_keeps_secrets_out_of_addresses(url):
    with pytest.raises(InputError, match="CONCUR_API_KEY, SGLANG_API_KEY or OPENAI_API_KEY") as caught:
        parse_address(url)
    assert "secret" not in str(caught.value)
