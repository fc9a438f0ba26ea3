"""What came over HTTP, given to a core in process in the same iterations, leads to the same decisions."""

import asyncio
from random import Random

import pytest
from served import ROUND, chat, get, post, server

from concur_batch.sim.replay import replay
from concur_batch.virtual import run_virtual


async def busy(app, seed):
    """Conversations of several turns, some aborted, some left, with readings in between."""
    random = Random(seed)

    async def conversation(i):
        messages = [{"role": "user", "content": f"{i} " * random.randrange(20, 200)}]
        for turn in range(4):
            await asyncio.sleep(random.expovariate(0.05))
            body = {"messages": messages, "max_tokens": random.randrange(1, 80), "rid": f"{i}/{turn}", "session_id": f"{i}"}
            gone = asyncio.Event()
            if random.random() < 0.2:
                asyncio.get_running_loop().call_later(random.uniform(0, 30), gone.set)
            answer = await post(app, "/v1/chat/completions", body | {"stream": random.random() < 0.3}, gone=gone)
            if answer.status != 200 or answer.text.startswith("data:"):
                return
            messages = [*messages, answer.json["choices"][0]["message"], {"role": "user", "content": "more " * 10}]
        await post(app, "/close_session", {"session_id": f"{i}"})

    async def operator():
        for _ in range(20):
            await asyncio.sleep(random.uniform(5, 20))
            await get(app, random.choice(["/metrics", "/v1/loads", "/flush_cache"]))
            await post(app, "/abort_request", {"rid": f"{random.randrange(12)}/{random.randrange(4)}"})
        await post(app, "/pause_generation", {"mode": "retract"})
        await asyncio.sleep(5)
        await post(app, "/continue_generation", {})

    await asyncio.gather(operator(), *(conversation(i) for i in range(12)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("options", [{}, {"session_cache": True, "chunked_prefill_size": 64}, {"version": "0.5.8"}])
def test_the_same_arrivals_make_the_same_log(seed, options):
    app = server(capacity=2_000, record=True, **options)
    run_virtual(busy(app, seed))
    live, arrivals = app.state.core, app.state.arrivals
    assert replay(arrivals, live.options, ROUND).log == live.log
    assert len(live.log) > 30
    assert {arrival.kind for arrival in arrivals} >= {"add", "abort", "flush", "pause", "resume"}


def test_what_is_refused_is_not_recorded():
    app = server(record=True)
    run_virtual(post(app, "/v1/chat/completions", chat("x" * 20_000)))
    assert app.state.arrivals == []
