"""A chat-completions server that answers at once and counts: the other end of every measurement here.

Each reply has about 1 kB of text and one call of the tool `noop`, until the conversation holds `--calls` - 1 observations;
then comes a final answer. Conversations are told apart by the word `conversation-NUMBER` in their prompt.

`GET /counts` answers {"total": calls, "peak_in_flight": int, "conversations": {name: [first calls, second calls, ...]}}, where
the k-th number says how often the k-th call of that conversation came in: more than 1 is a repeated step. The peak is since the
last such question.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MODEL = "echo"
CONVERSATION = re.compile(rb"conversation-\d+")
OBSERVATION = b'"tool_call_id"'  # one in every observation, and nowhere else; counting it costs less than parsing the body
PROSE = "The measured reply carries about a thousand bytes, as a short plan of an agent does. " * 7


def reply_body(conversation: str, step: int, *, final: bool, prompt_tokens: int) -> bytes:
    """The JSON of one reply. `step` counts from 1 and stands in the tool call's arguments, so that each call is unique."""
    message: dict[str, Any] = {"role": "assistant", "content": f"Step {step}. {PROSE}"}
    if not final:
        function = {"name": "noop", "arguments": json.dumps({"note": f"{conversation}/{step}"})}
        message["tool_calls"] = [{"id": f"call_{conversation}_{step}", "type": "function", "function": function}]
    return json.dumps(
        {
            "id": f"chatcmpl-{conversation}-{step}",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": MODEL,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop" if final else "tool_calls"}],
            "usage": {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": 180,
                "total_tokens": prompt_tokens + 180,
                "prompt_tokens_details": {"cached_tokens": 0 if step == 1 else max(0, prompt_tokens - 60)},
            },
        }
    ).encode()


class EchoServer:
    """The ASGI application. `latency` is the mean seconds before a reply, spread evenly by a fifth to both sides."""

    def __init__(self, calls: int, latency: float) -> None:
        self.calls = calls
        self.latency = latency
        self.random = random.Random(7)
        self.total = 0
        self.in_flight = 0
        self.peak_in_flight = 0
        self.conversations: dict[str, list[int]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        body = await self._body(receive)
        path = scope["path"]
        if path == "/v1/chat/completions":
            await self._answer(send, 200, await self._complete(body))
        elif path == "/v1/models":
            models = {"object": "list", "data": [{"id": MODEL, "object": "model", "max_model_len": 1_000_000}]}
            await self._answer(send, 200, json.dumps(models).encode())
        elif path in {"/ready", "/health"}:
            await self._answer(send, 200, b"{}")
        elif path == "/counts":
            counts = {"total": self.total, "peak_in_flight": self.peak_in_flight, "conversations": self.conversations}
            self.peak_in_flight = self.in_flight
            await self._answer(send, 200, json.dumps(counts).encode())
        else:
            await self._answer(send, 404, b'{"error": {"message": "not here", "type": "not_found"}}')

    async def _body(self, receive: Receive) -> bytes:
        parts = []
        more = True
        while more:
            event = await receive()
            parts.append(event.get("body", b""))
            more = event.get("more_body", False)
        return b"".join(parts)

    async def _complete(self, body: bytes) -> bytes:
        found = CONVERSATION.search(body)
        conversation = found.group().decode() if found else "unnamed"
        step = body.count(OBSERVATION) + 1
        steps = self.conversations.setdefault(conversation, [])
        steps.extend([0] * (step - len(steps)))
        steps[step - 1] += 1
        self.total += 1
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            if self.latency:
                await asyncio.sleep(self.latency * self.random.uniform(0.8, 1.2))
        finally:
            self.in_flight -= 1
        return reply_body(conversation, step, final=step >= self.calls, prompt_tokens=len(body) // 4)

    async def _answer(self, send: Send, status: int, body: bytes) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Serve on loopback until SIGTERM; the first line printed is the URL."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--calls", type=int, default=9, help="model calls per conversation")
    parser.add_argument("--latency", type=float, default=0.0, help="mean seconds before each reply")
    options = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", options.port), backlog=4096)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(
        EchoServer(options.calls, options.latency),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_keep_alive=300,
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
