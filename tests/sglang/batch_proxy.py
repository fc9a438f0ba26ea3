"""A proxy on loopback that cuts some of the model's replies in the middle of their body."""

import asyncio
import contextlib
import random
import threading
from collections.abc import Iterator

_REPLY = b'"object":"chat.completion"'  # opens the body of every chat completion, in the packet of its head


class CuttingProxy:
    """Which replies are cut is drawn from `seed`, by their number in the order of coming; at most `among` are counted."""

    def __init__(self, target: int, *, cuts: int, among: int, seed: int) -> None:
        self.cut = 0
        self._replies = 0
        self._target = target
        self._chosen = set(random.Random(seed).sample(range(among), cuts))

    async def serve(self, ready: "asyncio.Future[int]", end: asyncio.Event) -> None:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        ready.set_result(server.sockets[0].getsockname()[1])
        async with server:
            await end.wait()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            pipes = [asyncio.ensure_future(self._pipe(reader, back, ours=False))]
            pipes.append(asyncio.ensure_future(self._pipe(there, writer, ours=True)))
            await asyncio.wait(pipes, return_when=asyncio.FIRST_COMPLETED)
            for pipe in pipes:
                pipe.cancel()
            back.close()
        writer.close()

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, ours: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 20):
                if ours and _REPLY in data and self._is_chosen():
                    self.cut += 1
                    body = data.find(_REPLY)
                    writer.write(data[: (body + len(data)) // 2])
                    await writer.drain()
                    if self.cut % 2:
                        writer.transport.abort()  # a reset, where the others end as if all had been said
                    return
                writer.write(data)
                await writer.drain()

    def _is_chosen(self) -> bool:
        self._replies += 1
        return self._replies - 1 in self._chosen


@contextlib.contextmanager
def cutting(port: int, *, cuts: int, among: int, seed: int) -> Iterator[tuple[CuttingProxy, str]]:
    """The proxy and its URL; it runs in a thread, as the test itself waits for processes."""
    proxy = CuttingProxy(port, cuts=cuts, among=among, seed=seed)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> tuple[int, asyncio.Event, "asyncio.Task[None]"]:
        ready: asyncio.Future[int] = loop.create_future()
        end = asyncio.Event()
        serving = asyncio.ensure_future(proxy.serve(ready, end))
        return await ready, end, serving

    async def stop() -> None:
        end.set()
        await asyncio.wait({serving}, timeout=10)

    own, end, serving = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield proxy, f"http://127.0.0.1:{own}"
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
