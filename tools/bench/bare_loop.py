"""The least that can be done: the same model calls as the program makes, and nothing else.

`AsyncOpenAI.post` with a ready body over the aiohttp transport; so many conversations at once; the reply's message and a
fixed observation are appended. No journal, no results, no validation, no statistics. Prints the number of calls made.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
from openai import AsyncOpenAI, DefaultAioHttpClient
from openai.types.chat import ChatCompletion

Messages: TypeAlias = list[dict[str, Any]]
Call: TypeAlias = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]

NOOP: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "noop",
        "description": "Take note of something.",
        "parameters": {
            "type": "object",
            "properties": {"note": {"type": "string", "description": "what to take note of"}},
            "required": ["note"],
            "additionalProperties": False,
        },
    },
}


async def typed_call(client: AsyncOpenAI, body: dict[str, Any]) -> dict[str, Any]:
    """The reply's message in wire form, by way of the SDK's own type."""
    completion = await client.post("/chat/completions", body=body, cast_to=ChatCompletion)
    message = completion.choices[0].message
    wire: dict[str, Any] = {"role": "assistant", "content": message.content}
    if message.tool_calls:
        wire["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.function.name, "arguments": c.function.arguments}}
            for c in message.tool_calls
            if c.type == "function"
        ]
    return wire


async def raw_call(client: AsyncOpenAI, body: dict[str, Any]) -> dict[str, Any]:
    """The same from the reply's bytes: the cheapest form that the SDK has."""
    reply = await client.post("/chat/completions", body=body, cast_to=bytes)
    message: dict[str, Any] = json.loads(reply)["choices"][0]["message"]
    return message


async def by_openai(url: str, tasks: Iterator[Messages], concurrency: int, cast: str) -> int:
    """The measure: the SDK's client with one connection per conversation."""
    http_client = DefaultAioHttpClient(limits=_limits(concurrency), timeout=600)
    call = typed_call if cast == "typed" else raw_call
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="EMPTY", max_retries=0, timeout=600, http_client=http_client) as client:
        return await converse(functools.partial(call, client), tasks, concurrency)


async def by_aiohttp(url: str, tasks: Iterator[Messages], concurrency: int) -> int:
    """For comparison: what is left without the SDK, with the standard library's JSON."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call(body: dict[str, Any]) -> dict[str, Any]:
            async with session.post(f"{url}/v1/chat/completions", json=body) as reply:
                message: dict[str, Any] = json.loads(await reply.read())["choices"][0]["message"]
                return message

        return await converse(call, tasks, concurrency)


async def converse(call: Call, tasks: Iterator[Messages], concurrency: int) -> int:
    """All conversations, `concurrency` at a time; the number of calls."""
    calls = 0

    async def worker() -> None:
        nonlocal calls
        for messages in tasks:
            while True:
                message = await call({"model": "echo", "messages": messages, "tools": [NOOP]})
                calls += 1
                messages.append(message)
                if "tool_calls" not in message:
                    break
                call_id = message["tool_calls"][0]["id"]
                messages.append({"role": "tool", "tool_call_id": call_id, "content": "noted"})

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(worker())
    return calls


def _limits(concurrency: int) -> Any:
    """Pool limits above the concurrency, of whichever HTTP library the SDK uses."""
    for base in DefaultAioHttpClient.__mro__:
        if base.__name__ == "AsyncClient":
            library = __import__(base.__module__.split(".")[0])
            return library.Limits(max_connections=concurrency + 16, max_keepalive_connections=concurrency + 16)
    raise RuntimeError("this version of openai has no aiohttp transport")


def main() -> None:
    """Run the job and print the number of calls."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", type=Path, help="JSONL with `messages` in each line")
    parser.add_argument("--engine", required=True, help="URL of the echo server")
    parser.add_argument("--concurrency", type=int, default=256)
    parser.add_argument("--cast", choices=["typed", "raw", "aiohttp"], default="typed", help="ChatCompletion; bytes; no SDK")
    parser.add_argument("--loop", choices=["uvloop", "asyncio"], default="uvloop")
    options = parser.parse_args()
    loop_factory = None
    if options.loop == "uvloop":
        import uvloop  # noqa: PLC0415  not to be loaded where asyncio's own loop is measured

        loop_factory = uvloop.new_event_loop
    with options.job.open(encoding="utf-8") as lines:
        tasks = (json.loads(line)["messages"] for line in lines)
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            if options.cast == "aiohttp":
                print(runner.run(by_aiohttp(options.engine, tasks, options.concurrency)))
            else:
                print(runner.run(by_openai(options.engine, tasks, options.concurrency, options.cast)))


if __name__ == "__main__":
    main()
