"""A client that shows everything: status, headers, body, the events of a stream, and what the server tells of itself."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

CHAT, TEXT, NATIVE = "/v1/chat/completions", "/v1/completions", "/generate"
TEMPLATE = 19  # tokens that the chat template puts around one message of a user
WAIT_S = 60  # for anything that is going to happen
_LINE = re.compile(r"(?P<name>sglang:\w+)(\{(?P<labels>[^}]*)\})? (?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_serials = count()


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def events(self) -> list[Any]:
        """Of a stream; its last one is [DONE], which is checked and left out."""
        *events, last, end = self.text.split("\n\n")
        assert (last, end) == ("data: [DONE]", "")
        return [json.loads(event.removeprefix("data: ")) for event in events]


class Series(NamedTuple):
    name: str
    labels: dict[str, str]
    value: float


def new(text: str = "x", tokens: int = 0) -> str:
    """A text that no other prompt begins with, of so many tokens."""
    start = f"{time.time_ns()}.{next(_serials)}"[::-1]
    return (start + text * tokens)[:tokens] if tokens else start + text


def chat(text: str = "", /, **fields: Any) -> dict[str, Any]:
    """The body of a chat request of 8 tokens, unless told otherwise, of which none ends it early."""
    body = {"model": "tiny", "messages": [{"role": "user", "content": text or new()}]}
    return body | {"max_tokens": 8, "ignore_eos": True, "temperature": 0} | fields


def native(text: str = "", /, *, max_new_tokens: int = 8, **fields: Any) -> dict[str, Any]:
    """The same for /generate."""
    sampling = {"max_new_tokens": max_new_tokens, "ignore_eos": True, "temperature": 0}
    return {"text": text or new(), "sampling_params": sampling} | fields


@dataclass
class Target:
    """A server under test."""

    kind: str  # sglang, sim
    port: int
    fresh: str = ""  # /metrics before it had done anything
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(64))

    def ask(
        self, method: str, path: str, body: Any = None, *, media_type: str | None = "application/json", wait_s: float = WAIT_S
    ) -> Answer:
        """One request on a connection of its own. A body of bytes goes as it is, all others as JSON."""
        with self.asking(method, path, body, media_type=media_type, wait_s=wait_s) as connection:
            reply = connection.getresponse()
            text = reply.read().decode()
            return Answer(reply.status, {name.lower(): value for name, value in reply.getheaders()}, text)

    @contextmanager
    def asking(
        self, method: str, path: str, body: Any = None, *, media_type: str | None = "application/json", wait_s: float = WAIT_S
    ) -> Iterator[http.client.HTTPConnection]:
        """A request that has been sent. At the end the client is gone, answered or not."""
        sent = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=wait_s)) as connection:
            connection.request(method, path, sent or None, {"content-type": media_type} if media_type and sent else {})
            yield connection

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def post(self, path: str, body: Any = None) -> Answer:
        return self.ask("POST", path, body)

    def chat(self, text: str = "", /, **fields: Any) -> Any:
        """The reply to `chat(...)`, which must be one."""
        answer = self.post(CHAT, chat(text, **fields))
        assert answer.status == 200, answer.text
        return answer.json

    def later(self, path: str, body: Any) -> Future[Answer]:
        """A POST beside all else."""
        return self._pool.submit(self.post, path, body)

    def load(self) -> Any:
        """What /v1/loads tells of the only rank."""
        (load,) = self.get("/v1/loads?include=core,queues").json["loads"]
        return load

    def series(self, prefix: str = "") -> list[Series]:
        """Of /metrics, those whose names begin so."""
        found = (_LINE.fullmatch(line) for line in self.get("/metrics").text.splitlines() if line.startswith(f"sglang:{prefix}"))
        return [Series(m["name"], dict(_LABEL.findall(m["labels"] or "")), float(m["value"])) for m in found if m]

    def value(self, name: str, **labels: str) -> float:
        """The sum over the series of that name with these labels; 0 where there are none."""
        return sum(
            one.value for one in self.series(name) if one.name == f"sglang:{name}" and labels.items() <= one.labels.items()
        )

    def until_running(self, running: int, waiting: int = 0) -> None:
        """Until so many requests run and wait, as /v1/loads tells it."""

        def they_are() -> bool:
            load = self.load()
            return (load["num_running_reqs"], load["num_waiting_reqs"]) == (running, waiting)

        until(they_are)

    def quiet(self) -> None:
        """Nothing runs, nothing is paused, and nothing is cached."""
        self.post("/continue_generation", {})
        self.post("/abort_request", {"abort_all": True})
        until(lambda: self.post("/flush_cache?timeout=20").status == 200)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def until(fact: Callable[[], object], seconds: float = WAIT_S) -> None:
    """Wait for something that only shows by looking."""
    end = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.01)


def cached(reply: Any) -> int:
    """Prompt tokens found in the cache, by the usage of a reply."""
    return int(reply["usage"]["prompt_tokens_details"]["cached_tokens"])


def shape(value: Any) -> Any:
    """Names and types, in order; whole and other numbers are the same."""
    if isinstance(value, dict):
        return {key: shape(part) for key, part in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__
