import asyncio

import pytest
from chat_server import ChatServer, hangs, says

from concur_batch.engine import flush as flushing
from concur_batch.engine.flush import flush
from concur_batch.errors import EngineBusy, EngineDown, EngineError, EngineRefused


def answered(*statuses):
    left = list(statuses)

    async def handler(http):
        return await says("told", left.pop(0) if len(left) > 1 else left[0])(http)

    return handler


def asked(handler, patience_s=5.0):
    async def main():
        async with ChatServer(routes={} if handler is None else {"/flush_cache": handler}) as server:
            await flush(server.url + "/v1", api_key="EMPTY", patience_s=patience_s)
            return server.paths

    return asyncio.run(main())


def test_the_cache_is_emptied():
    assert asked(answered(200)) == ["/flush_cache"]


def test_a_server_at_work_is_asked_again():
    assert asked(answered(400, 200)) == ["/flush_cache"] * 2
    with pytest.raises(EngineBusy, match="is at work and does not empty its cache"):
        asked(answered(400), patience_s=0.0)


@pytest.mark.parametrize("status", [404, 501])
def test_a_server_without_it_is_refused(status):
    with pytest.raises(EngineRefused, match="has no /flush_cache, as SGLang does"):
        asked(answered(status))


def test_other_failures_are_told_as_they_are(monkeypatch):
    with pytest.raises(EngineError, match="401"):
        asked(answered(401))
    monkeypatch.setattr(flushing, "_ASK_S", 0.05)
    with pytest.raises(EngineDown, match="no answer to /flush_cache"):
        asked(hangs)
    with pytest.raises(EngineDown, match="cannot be reached"):
        asyncio.run(flush("http://127.0.0.1:1", api_key="EMPTY"))
