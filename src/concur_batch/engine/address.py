"""What a user gives as an engine's URL, taken apart, and the proxy on the way there."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import yarl

from concur_batch.errors import InputError

_LABEL = re.compile(r"[\w-]{1,63}", re.ASCII)  # what is between two dots of a name
_API_VERSION = re.compile(r"/v\d+\w*(/|$)")  # /v1, but also /v1beta/openai


@dataclass(frozen=True, slots=True)
class Address:
    """Where one server answers. `root` and `api` have no trailing slash and carry no secrets."""

    root: str  # for /server_info, /metrics, /ready ...
    api: str  # for /chat/completions and /models
    is_loopback: bool  # proxies of the environment do not concern it


class Proxy(NamedTuple):
    """An HTTP proxy that the environment names in `variable`. `shown` is its URL without user and password."""

    url: str
    shown: str
    variable: str


def parse_address(url: str) -> Address:
    """Read `http://HOST:PORT`, with or without `/v1`. Raises InputError with the mend."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port  # the port is only checked when asked for
    except ValueError:
        host = port = None
    if not host or parts.scheme not in ("http", "https"):
        shown = re.sub(r"//[^/@]*@", "//***@", url)
        raise InputError(f"engine {shown!r} is not an HTTP address: give one such as http://127.0.0.1:30000")
    where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InputError(
            f"engine {where}: give the bare address, and a key by CONCUR_API_KEY, SGLANG_API_KEY or OPENAI_API_KEY, not in the URL"
        )
    try:
        name = _name(host)
    except ValueError:
        raise InputError(f"engine {where}: there is no such host as {host}: give one such as http://127.0.0.1:30000") from None
    if not host.isascii():
        where = f"{parts.scheme}://{name}" + ("" if port is None else f":{port}")
    path = parts.path.rstrip("/")
    api = where + path if _API_VERSION.search(path) else f"{where}{path}/v1"
    return Address(root=where + path.removesuffix("/v1"), api=api, is_loopback=_is_loopback(host))


def proxy_for(address: Address) -> Proxy | None:
    """The proxy for it by HTTP_PROXY, HTTPS_PROXY and NO_PROXY (also in small letters). Raises InputError where it cannot be one."""
    target = urlsplit(address.root)
    if address.is_loopback or _is_exempt(target.hostname or ""):
        return None
    url = getproxies().get(target.scheme, "").strip()
    if not url:
        return None
    variable = f"{target.scheme.upper()}_PROXY"
    if "://" not in url:
        url = f"http://{url}"
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "http" and bool(_name(parts.hostname or "")) and parts.port != 0  # which checks the port, too
    except ValueError:
        usable = False
    if not usable:
        shown = re.sub(r"//.*@", "//***@", url)
        raise InputError(
            f"{variable} names {shown!r}, which is no HTTP proxy: give one such as http://127.0.0.1:3128, "
            f"or name {target.hostname} in NO_PROXY to do without"
        )
    return Proxy(url, f"http://{parts.netloc.rpartition('@')[2]}", variable)


def _is_exempt(host: str) -> bool:
    """Whether NO_PROXY names it, or the network that it is in, which Python's own reading leaves out."""
    if proxy_bypass(host):
        return True
    for entry in getproxies().get("no", "").split(","):
        with contextlib.suppress(ValueError):  # one of the two is a name
            if ipaddress.ip_address(host) in ipaddress.ip_network(entry.strip(), strict=False):
                return True
    return False


def _name(host: str) -> str:
    """The host as it is looked up: in ASCII. Raises ValueError where there can be none of that name."""
    if ":" in host:
        return str(ipaddress.IPv6Address(host))
    name = yarl.URL.build(scheme="http", host=host).raw_host or ""
    labels = name.removesuffix(".").split(".")
    if all(label.isdigit() for label in labels):
        return str(ipaddress.IPv4Address(name))
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(host)
    return name


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
