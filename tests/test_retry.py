import random

import pytest
from chat_server import request

from concur_batch.engine.scripted import ScriptedEngine, reply
from concur_batch.errors import ContextLengthExceeded, EngineBusy, EngineDown, EngineError, EngineFailed, EngineRefused
from concur_batch.retry import complete_with_retries
from concur_batch.virtual import run_virtual


def run(*outcomes, seed=1, delay_s=1.0, **options):
    """What came of it (or its error), the engine, and what was told about retries."""
    engine, told = ScriptedEngine(outcomes, delay_s=delay_s), []

    async def story():
        return await complete_with_retries(
            engine, request(), random.Random(seed), on_retry=lambda *seen: told.append(seen), **options
        )

    try:
        return run_virtual(story()), engine, told
    except EngineError as error:  # handed on: the tests look at it
        return error, engine, told


def test_the_first_reply_is_taken_as_it_comes():
    done, engine, told = run(reply("yes"))
    assert (done.reply.message["content"], done.lost_s, told) == ("yes", 0.0, [])
    assert [asked.request_id for asked in engine.requests] == ["t#0/1"]


def test_retries_what_can_pass_with_ids_of_their_own():
    done, engine, told = run(EngineFailed("500"), EngineBusy("429"), reply("yes"))
    assert done.reply.message["content"] == "yes"
    assert [asked.request_id for asked in engine.requests] == ["t#0/1", "t#0/1~1", "t#0/1~2"]
    assert [(number, str(error)) for number, error, _ in told] == [(1, "500"), (2, "429")]
    assert done.lost_s == pytest.approx(2.0 + sum(wait for _, _, wait in told))


def test_waits_double_and_are_shortened_at_random():
    _, _, told = run(*[EngineFailed("no")] * 8, attempts=8)
    waits = [wait for _, _, wait in told]
    assert len(waits) == 7
    for wait, longest in zip(waits, [0.5, 1, 2, 4, 8, 16, 30], strict=True):
        assert longest / 2 <= wait <= longest


def test_the_same_seed_waits_the_same():
    outcomes = [EngineFailed("no")] * 3 + [reply()]
    assert run(*outcomes, seed=7)[0].lost_s == run(*outcomes, seed=7)[0].lost_s
    assert run(*outcomes, seed=7)[0].lost_s != run(*outcomes, seed=8)[0].lost_s


def test_waits_as_long_as_the_server_asks_but_not_for_ever():
    _, _, told = run(EngineBusy("429", 20.0), EngineBusy("429", 86_400.0), reply())
    assert 20.0 < told[0][2] < 21.0
    assert 600.0 < told[1][2] < 602.0


@pytest.mark.parametrize("attempts", [1, 3])
def test_stops_after_so_many_attempts_with_the_last_error(attempts):
    error, engine, told = run(*(EngineFailed(str(i)) for i in range(5)), attempts=attempts)
    assert (type(error), str(error)) == (EngineFailed, str(attempts - 1))
    assert (len(engine.requests), len(told)) == (attempts, attempts - 1)


@pytest.mark.parametrize("kind", [EngineDown, EngineRefused, ContextLengthExceeded])
def test_what_retrying_cannot_help_is_raised_at_once(kind):
    error, engine, _ = run(kind("no"), reply())
    assert (type(error), len(engine.requests)) == (kind, 1)
    error, engine, _ = run(EngineFailed("500"), kind("no"), reply())
    assert (type(error), len(engine.requests)) == (kind, 2)
