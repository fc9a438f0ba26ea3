"""HTTP to one server: the openai client on one aiohttp session, with what a ready body does not need left out.

`client.post` with a ready dict on the client's own aiohttp transport costs about 1 ms of CPU per call, six times what the
same call costs aiohttp alone: URL and headers are parsed and merged anew in three layers. Here the client keeps what it is
taken for (authorisation, options, its errors), while its HTTP client builds the request from parts made once and sends it
by aiohttp directly. Works with openai 2.6 to 3.x, which stand on two different HTTP libraries.
"""

from __future__ import annotations

import errno
import functools
import importlib
import inspect
import json
import os
import socket
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import aiohttp
import msgspec
import openai
import yarl
from aiohttp.http_exceptions import ContentEncodingError

from concur_batch import __version__
from concur_batch.engine.address import Address, Proxy, proxy_for
from concur_batch.errors import EngineBusy, EngineDown, EngineError, EngineFailed, EngineRefused

_KEEPALIVE_S = 3.0  # SGLang and vLLM close idle connections after 5 s: let go of them first
_PROBES = (  # of an idle connection, while a reply is awaited: one whose other end is gone without a word breaks after 2 minutes
    ("TCP_KEEPIDLE", 60),  # s
    ("TCP_KEEPALIVE", 60),  # the same on macOS
    ("TCP_KEEPINTVL", 15),  # s
    ("TCP_KEEPCNT", 4),
)
_TAKES_CONTENT = "content" in inspect.signature(openai.AsyncOpenAI.post).parameters  # ready bytes; newer openai only

# The HTTP library that the installed openai client stands on: httpx up to 2.x, httpx2 from 3.0.
_BASE = next(c for c in openai.DefaultAioHttpClient.__mro__ if c.__name__ == "AsyncClient")
_http: Any = importlib.import_module(_BASE.__module__.partition(".")[0])

# Given for every call, because each option left out is deep-copied from its default, and a missing idempotency key drawn
# anew (it is never sent).
_OPTIONS: Any = {"headers": {}, "params": {}, "max_retries": 0, "timeout": None, "idempotency_key": "-"}

_USER_AGENT = f"concur/{__version__}"
_encoder = msgspec.json.Encoder()


def _encode(body: Any) -> bytes:
    try:
        return _encoder.encode(body)
    except UnicodeEncodeError:  # half a surrogate pair, out of some tool's output: only the escaped form can carry it
        return json.dumps(body).encode()


def _raw(text: str) -> bytes:
    """Of a header as it came: aiohttp reads them as UTF-8, with what is none escaped, and httpx takes no text but ASCII."""
    return text.encode("utf-8", "surrogateescape")


class Answer(NamedTuple):
    """What came back, whatever the status. `headers` is case-insensitive."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Courier(openai.DefaultAioHttpClient):
    """The HTTP client under the openai client: one URL, the same headers each time, one aiohttp session."""

    def __init__(self, transport: Transport) -> None:
        super().__init__(trust_env=False, transport=_http.AsyncBaseTransport())  # stands in: `send` never asks it
        self._exchange = transport.exchange
        self._chat_url = transport.chat_url
        self._sent_headers: dict[str, str] | None = None
        self._parts: dict[str, Any] = {}

    def build_request(self, method: str, url: Any, **options: Any) -> Any:
        content = options.get("content")
        if content is None:
            content = _encode(options.get("json"))
        if self._sent_headers is None:
            headers = _http.Headers(options.get("headers"))
            self._sent_headers = dict(headers)
            self._parts = {"url": _http.URL(url), "headers": headers, "stream": _http.ByteStream(b"")}
        return _http.Request(method, **self._parts, extensions={"body": content})

    async def send(self, request: Any, **_: Any) -> Any:
        answer = await self._exchange("POST", self._chat_url, request.extensions["body"], self._sent_headers)
        if answer.status == 200:
            return _http.Response(200, content=answer.body, request=request)
        # The body comes unpacked from aiohttp, so what tells of its packing must not be told again.
        headers = [(_raw(name), _raw(value)) for name, value in answer.headers.items() if name.lower() != "content-encoding"]
        return _http.Response(answer.status, headers=headers, content=answer.body, request=request)


class _Client(openai.AsyncOpenAI):
    """The openai client, sending only headers that mean something to a model server, made once."""

    @functools.cached_property
    def default_headers(self) -> dict[str, Any]:
        account = {name: value for name, value in super().default_headers.items() if name.startswith("OpenAI-")}
        return {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "User-Agent": _USER_AGENT,
            **self.auth_headers,  # added by newer clients elsewhere, but by openai 2.6 only here
            **account,  # organisation and project, where the environment names them
        }


class Transport:
    """Connections to one server, without a limit on their number: how many requests run is the gate's business alone.

    Belongs to the event loop that first uses it. Every failure to get a whole answer is raised as an EngineError: EngineDown
    where no connection came about or it broke, EngineFailed where what answers does not speak HTTP or names the
    wrong encoding, EngineRefused where it cannot be trusted or a proxy lets nobody through. InputError where the environment
    names no usable proxy.
    """

    def __init__(self, address: Address, api_key: str, *, connect_timeout_s: float = 30.0) -> None:
        self._address = address
        self._proxy = proxy_for(address)
        self._authorization = {"Authorization": f"Bearer {api_key}", "User-Agent": _USER_AGENT}
        # Only connecting has a limit of its own; a reply takes as long as it takes, and the engine keeps the deadline.
        self._limits = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=connect_timeout_s, sock_read=None)
        self._session: aiohttp.ClientSession | None = None
        self.chat_url = yarl.URL(f"{address.api}/chat/completions")
        self._chat_path = str(self.chat_url)
        self._courier = _Courier(self)
        self._client = _Client(base_url=address.api, api_key=api_key, max_retries=0, http_client=self._courier)

    async def chat(self, body: dict[str, Any]) -> Answer:
        """Send one chat completion request. Every status is an answer."""
        payload: Any = {"content": _encode(body)} if _TAKES_CONTENT else {"body": body}
        try:
            content = await self._client.post(self._chat_path, cast_to=bytes, options=_OPTIONS, **payload)
        except openai.APIStatusError as error:
            return Answer(error.status_code, cast("Mapping[str, str]", error.response.headers), error.response.content)
        except openai.APIConnectionError as error:  # openai 2.x wraps whatever the courier raises
            if isinstance(error.__cause__, EngineError):
                raise error.__cause__ from None
            raise EngineDown(f"{self._address.root}: {error}") from error
        return Answer(200, {}, content)

    async def ask(self, method: str, path: str, body: dict[str, Any] | None = None, *, api: bool = False) -> Answer:
        """Any other request: `path` under the server's root, or under its API. The deadline is the caller's."""
        url = yarl.URL((self._address.api if api else self._address.root) + path, encoded=True)
        if body is None:
            return await self.exchange(method, url, None, self._authorization)
        headers = {**self._authorization, "Content-Type": "application/json"}
        return await self.exchange(method, url, _encode(body), headers)

    async def exchange(self, method: str, url: yarl.URL, data: bytes | None, headers: Mapping[str, str] | None) -> Answer:
        """Send and read to the end; redirects are not followed."""
        session = self._session or self._open()
        try:
            async with session.request(
                method, url, data=data, headers=headers, timeout=self._limits, allow_redirects=False
            ) as reply:
                if self._proxy is not None and reply.status == 407:  # no server says that
                    raise _not_through(self._address.root, self._proxy, reply.status, reply.reason)
                return Answer(reply.status, reply.headers, await reply.read())
        except (aiohttp.ClientError, OSError) as error:
            raise self._fault(error) from error

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.close()
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        secure = self._address.root.startswith("https:")
        connector = aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=_KEEPALIVE_S,
            ssl=_http.create_ssl_context() if secure else True,
            socket_factory=_probing_socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            proxy=None if self._proxy is None else self._proxy.url,
            trust_env=False,  # or ~/.netrc would take the place of the key
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self._session

    def _fault(self, error: aiohttp.ClientError | OSError) -> EngineError:
        where = self._address.root
        if self._proxy is not None:
            if isinstance(error, aiohttp.ClientHttpProxyError):
                return _not_through(where, self._proxy, error.status, error.message)
            if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientConnectorDNSError):
                return EngineDown(f"{where}: its proxy {self._proxy.shown} cannot be reached: {_unreached(error.os_error)}")
            where += f" (through the proxy {self._proxy.shown})"
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            return EngineBusy(f"{where}: no file descriptors left here for another connection; raise the limit with `ulimit -n`")
        if isinstance(error, aiohttp.ClientSSLError):
            return EngineRefused(f"{where}: no secure connection: {_insecure(error)}")
        if isinstance(error, aiohttp.ClientConnectorError):
            return EngineDown(f"{where} cannot be reached: {_unreached(error.os_error)}")
        if isinstance(error, aiohttp.ServerTimeoutError):
            return EngineDown(f"{where} cannot be reached: no connection within {self._limits.sock_connect:g} s")
        if isinstance(error.__cause__, ContentEncodingError):
            return EngineFailed(f"{where} sent a reply whose body is not encoded as its header Content-Encoding says")
        if isinstance(error, aiohttp.ClientPayloadError):
            return EngineDown(f"{where} broke the connection in the middle of a reply")
        if isinstance(error, aiohttp.ClientResponseError):
            return EngineFailed(f"{where} answers, but not in HTTP: {error.message}")
        return EngineDown(f"{where} broke the connection before a reply came ({type(error).__name__})")


def _probing_socket(info: tuple[Any, ...]) -> socket.socket:
    """A socket for this entry of `getaddrinfo` whose connection is probed while it is idle."""
    family, kind, protocol, *_ = info
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _PROBES:
        if hasattr(socket, name):  # not every system has each
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made


def _not_through(where: str, proxy: Proxy, status: int, reason: str | None) -> EngineError:
    """A proxy that made no connection to the server: it does not want to, or it cannot now."""
    text = f"{where}: its proxy {proxy.shown} answers HTTP {status}{f' ({reason})' if reason else ''}"
    if status == 407:
        return EngineRefused(f"{text}: give user and password in {proxy.variable}, as in http://USER:PASSWORD@HOST:PORT")
    if 400 <= status < 500 and status not in (408, 429):
        return EngineRefused(f"{text}: it does not let calls through to there; name the host in NO_PROXY where none is needed")
    return EngineDown(f"{text}: it has no connection to there")


def _insecure(error: aiohttp.ClientSSLError) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", None) or error.certificate_error
        return f"its certificate is not trusted: {why}; name the file of its authority by SSL_CERT_FILE"
    reason = str(getattr(error.os_error, "reason", None) or error.os_error)
    return f"{reason.replace('_', ' ').lower()}; give http:// where the server speaks without TLS"


def _unreached(error: OSError) -> str:
    """In the system's words: asyncio's own name the call and the address in Python's terms."""
    if error.errno is not None and error.errno in errno.errorcode:
        return os.strerror(error.errno)
    return error.strerror or str(error) or "no connection"
