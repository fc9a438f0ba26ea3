"""Real load for a real server: conversations of several turns that share a beginning, more of them than the pool holds.

Prompts go in as token ids, so that a recording of the server says exactly what it was asked.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
from dataclasses import dataclass

import aiohttp

IDS = range(97)  # of the tiny model, without its special ids; all of them are one character each


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """So many conversations, each of up to `turns` turns; token counts are drawn around these."""

    waves: int = 1  # one after the other, with the engine idle between them
    conversations: int = 24
    turns: int = 6
    shared: int = 400  # tokens at the start of all
    start: int = 900
    observation: int = 300
    output: int = 120
    asked: int = 400  # max_new_tokens where the model may end by itself
    fixed: float = 0.5  # share of the requests that ignore ends, and so ask for what they get
    pause_s: float = 0.3  # mean
    aborted: float = 0.0  # share of the requests that the client gives up
    sessions: bool = False
    priorities: bool = False
    seed: int = 0


async def put(url: str, load: Load) -> int:
    """Send it all; returns how many requests were answered."""
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(url, timeout=timeout, connector=aiohttp.TCPConnector(limit=0, force_close=True)) as http:
        answered = 0
        for first in range(0, load.waves * load.conversations, load.conversations):
            wave = range(first, first + load.conversations)
            answered += sum(await asyncio.gather(*(_converse(http, load, i) for i in wave)))
            await asyncio.sleep(1)
    return answered


async def _converse(http: aiohttp.ClientSession, load: Load, i: int) -> int:
    rng = random.Random(f"{load.seed} {i}")
    history = _ids(random.Random(load.seed), load.shared) + _ids(rng, _around(rng, load.start))
    answered = 0
    for turn in range(rng.randint(max(1, load.turns // 2), load.turns)):
        await asyncio.sleep(min(rng.expovariate(1 / load.pause_s), 8 * load.pause_s))
        rid = f"{i}.{turn}"
        body = {"rid": rid, "input_ids": history, "sampling_params": _sampling(rng, load)}
        if load.priorities:
            body["priority"] = rng.choice((0, 5, 20))
        if load.sessions:
            body["session_id"] = f"s{i}"
        giving_up = asyncio.create_task(_give_up(http, rid, rng.uniform(0, 3))) if rng.random() < load.aborted else None
        async with http.post("/generate", json=body) as reply:
            reply.raise_for_status()
            said = (await reply.json())["output_ids"]
        if giving_up is not None:
            await giving_up
        answered += 1
        history = history + said + _ids(rng, _around(rng, load.observation))
    if load.sessions:
        async with http.post("/close_session", json={"session_id": f"s{i}"}) as reply:
            reply.raise_for_status()
    return answered


async def _give_up(http: aiohttp.ClientSession, rid: str, after_s: float) -> None:
    await asyncio.sleep(after_s)
    async with http.post("/abort_request", json={"rid": rid}) as reply:
        reply.raise_for_status()


def _sampling(rng: random.Random, load: Load) -> dict[str, object]:
    """Random replies: of a fixed length, or until one of a few tokens turns up."""
    bias = dict.fromkeys(("97", "98", "99", "100"), -100.0)
    common = {"temperature": 1.0, "logit_bias": bias}
    if rng.random() < load.fixed:
        return common | {"max_new_tokens": max(2, _around(rng, load.output)), "ignore_eos": True}
    stop = rng.choice(IDS)
    bias[str(stop)] = math.log(len(IDS) / load.output)  # logits are nearly flat, so that replies get about that long
    return common | {"max_new_tokens": load.asked, "stop_token_ids": [stop]}


def _around(rng: random.Random, mean: int) -> int:
    return max(1, round(mean * rng.lognormvariate(-0.18, 0.6)))


def _ids(rng: random.Random, tokens: int) -> list[int]:
    """Repeats itself, so that a recording of it compresses well."""
    word = rng.choices(IDS, k=12)
    return (word * (tokens // len(word) + 1))[:tokens]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    for name, kind in (("conversations", int), ("turns", int), ("seed", int)):
        parser.add_argument(f"--{name}", type=kind, default=getattr(Load(), name))
    ours = parser.parse_args()
    print(asyncio.run(put(ours.url, Load(conversations=ours.conversations, turns=ours.turns, seed=ours.seed))))


if __name__ == "__main__":
    main()
