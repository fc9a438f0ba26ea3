"""Empty a server's cache, so that one run does not profit from another."""

from __future__ import annotations

import asyncio

from concur_batch.engine.address import parse_address
from concur_batch.engine.faults import fault
from concur_batch.engine.transport import Transport
from concur_batch.errors import EngineBusy, EngineDown, EngineRefused

FLUSH = "/flush_cache"
_ASK_S = 30.0


async def flush(url: str, *, api_key: str, patience_s: float = 60.0) -> None:
    """SGLang's /flush_cache, which refuses while anything runs: again until `patience_s` have passed.

    Raises EngineDown where nothing answers, EngineBusy where it stays at work, EngineRefused where it has no such thing.
    """
    address = parse_address(url)
    transport = Transport(address, api_key, connect_timeout_s=5.0)
    clock = asyncio.get_running_loop().time
    end = clock() + patience_s
    try:
        while True:
            try:
                async with asyncio.timeout(_ASK_S):
                    answer = await transport.ask("POST", FLUSH, {})
            except TimeoutError:
                raise EngineDown(f"{address.root}: no answer to {FLUSH} within {_ASK_S:g} s") from None
            if answer.status == 200:
                return
            if answer.status in (404, 405, 501):
                raise EngineRefused(
                    f"{address.root}: has no {FLUSH}, as SGLang does, so a later run would find what an earlier one has left in its cache"
                )
            if answer.status != 400:
                raise fault(answer.status, answer.headers, answer.body, address.root)
            if clock() >= end:
                raise EngineBusy(f"{address.root}: is at work and does not empty its cache; nobody else may use it meanwhile")
            await asyncio.sleep(0.5)
    finally:
        await transport.aclose()
