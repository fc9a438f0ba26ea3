"""The simulated server without sockets: ASGI called directly, in virtual time."""

import asyncio
import json
from pathlib import Path
from urllib.parse import urlsplit

from concur_batch.engine.server.serve import ServerSettings, build
from concur_batch.sim.cost import FittedCost
from concur_batch.sim.options import ServerOptions
from concur_batch.sim.tokens import Tokenizer

ROUND = FittedCost(prefill_per_token_s=0.01, decode_fixed_s=0.9, decode_per_request_s=0.1)
EPOCH = 1_700_000_000.0
CAPTURES = (Path(__file__).parent / "captures", Path(__file__).parent.parent / "captures")


def captured(name):
    text = next(folder / name for folder in CAPTURES if (folder / name).exists()).read_text()
    return json.loads(text) if name.endswith(".json") else text


def server(capacity=20_000, *, record=False, chars=1.0, template=False, speed=1.0, cost=ROUND, key=None, report=True, **options):
    """100 tokens of prefill a second; a decode step takes 0.9 s and 0.1 s per request. A token is a character."""
    given = {"context_length": 16_384, "max_running_requests": 64, "chunked_prefill_size": 4_096} | options
    settings = ServerSettings(
        options=ServerOptions(capacity_tokens=capacity, **given),
        cost=cost,
        model="tiny",
        profile="round",
        speed=speed,
        port=30000,
        tokenizer=Tokenizer(chars, template=template),
        api_key=key,
        cache_report=report,
    )
    return build(settings, record=record, epoch=EPOCH)


class Answer:
    def __init__(self):
        self.status = None
        self.headers = {}
        self.pieces = []  # (loop time, bytes)

    @property
    def text(self):
        return b"".join(piece for _, piece in self.pieces).decode()

    @property
    def json(self):
        return json.loads(self.text)

    @property
    def events(self):
        """Of a stream; the last one is checked and left out."""
        *events, last, end = self.text.split("\n\n")
        assert (last, end) == ("data: [DONE]", "")
        return [json.loads(event.removeprefix("data: ")) for event in events]


async def ask(app, method, url, body=None, *, headers=None, gone=None):
    """One request. `gone`: an event at which the client closes its connection."""
    parts = urlsplit(url)
    sent = {"content-type": "application/json"} | (headers or {})
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": parts.path,
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 30000),
    }
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    left = [{"type": "http.request", "body": content, "more_body": False}]
    answer, closed = Answer(), asyncio.Event()

    async def receive():
        if left:
            return left.pop()
        await (gone or closed).wait()
        return {"type": "http.disconnect"}

    async def send(message):
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        elif message["body"]:
            answer.pieces.append((asyncio.get_running_loop().time(), message["body"]))

    await app(scope, receive, send)
    return answer


async def post(app, url, body, **options):
    return await ask(app, "POST", url, body, **options)


async def get(app, url, **options):
    return await ask(app, "GET", url, **options)


def chat(text="Hello, server.", **fields):
    return {"model": "tiny", "messages": [{"role": "user", "content": text}]} | fields


def shape(value):
    """Key names and types, in order."""
    if isinstance(value, dict):
        return {key: shape(part) for key, part in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__
