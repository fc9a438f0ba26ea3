"""Samples are differences."""

from concur_batch.control.base import EngineStats
from concur_batch.control.meter import CacheMeter


def close(meter, time, stats):
    return meter.sample(time, stats, active=3, waiting=1, committed_tokens=500)


def test_replies_are_summed_per_interval():
    meter = CacheMeter("e")
    meter.reply(prompt=100, cached=80, generated=5, history=90, missed=10)
    meter.reply(prompt=50, cached=50, generated=7, history=50, missed=0)
    first = close(meter, 1.0, EngineStats())
    assert (first.prompt_tokens, first.cached_tokens, first.generated_tokens) == (150, 130, 12)
    assert (first.history_tokens, first.missed_tokens) == (140, 10)
    assert meter.steps == 2
    second = close(meter, 2.0, EngineStats())
    assert (second.prompt_tokens, second.cached_tokens, second.missed_tokens) == (0, None, None)


def test_misses_after_a_pause_are_left_out_but_prompts_count():
    meter = CacheMeter("e")
    meter.reply(prompt=100, cached=0, generated=5, history=90, missed=90, fault=False)
    sample = close(meter, 1.0, EngineStats())
    assert (sample.prompt_tokens, sample.history_tokens, sample.missed_tokens) == (100, 0, None)


def test_history_counts_whether_or_not_replies_tell_what_was_cached():
    meter = CacheMeter("e")
    meter.reply(prompt=100, cached=None, generated=5, history=90, missed=None)
    sample = close(meter, 1.0, EngineStats())
    assert (sample.history_tokens, sample.missed_tokens, sample.cached_tokens) == (90, None, None)


def test_counters_become_differences_and_the_first_reading_says_nothing():
    meter = CacheMeter("e")
    assert close(meter, 1.0, EngineStats(prefill_tokens_total=700, evicted_tokens_total=10)).prefill_tokens is None
    sample = close(meter, 2.0, EngineStats(prefill_tokens_total=900, evicted_tokens_total=10))
    assert (sample.prefill_tokens, sample.evicted_tokens) == (200, 0)


def test_a_falling_counter_is_a_restart():
    meter = CacheMeter("e")
    close(meter, 1.0, EngineStats(prefill_tokens_total=700))
    assert close(meter, 2.0, EngineStats(prefill_tokens_total=3)).prefill_tokens is None
    assert close(meter, 3.0, EngineStats(prefill_tokens_total=10)).prefill_tokens == 7


def test_a_missed_reading_is_made_up_by_the_next():
    meter = CacheMeter("e")
    close(meter, 1.0, EngineStats(prefill_tokens_total=100, locked=0.5))
    missed = close(meter, 2.0, None)
    assert missed.locked is None
    assert meter.stale
    assert close(meter, 3.0, EngineStats(prefill_tokens_total=160, locked=0.5)).prefill_tokens == 60


def test_a_reading_as_old_as_the_last_is_stale():
    meter = CacheMeter("e")
    close(meter, 1.0, EngineStats(locked=0.5, epoch=17.0))
    assert close(meter, 2.0, EngineStats(locked=0.5, epoch=17.0)).locked is None
    assert meter.stale


def test_what_is_begun_without_a_reading_goes_with_the_next():
    """As the prefills of that time do, which the engine's counters tell then."""
    meter, readings = CacheMeter("e"), [EngineStats(), None, None, EngineStats(), EngineStats()]
    begun = [
        meter.sample(float(i), reading, active=3, waiting=1, committed_tokens=500, begun=2).begun
        for i, reading in enumerate(readings)
    ]
    assert begun == [2, 0, 0, 6, 2]
