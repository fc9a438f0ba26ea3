import re

from concur_batch import records as r
from concur_batch.dashboard.scene import Scene
from concur_batch.dashboard.speed import section
from concur_batch.state import fold

OPENED = r.SegmentStarted(t=0, epoch=1e9, host="h", pid=1, version="0")


def greatest(stream, now):
    """What is told as the greatest value of each row."""
    lines = section(Scene(state=fold(stream), now=now), 1).draw(80, 6)
    return dict(re.match(r"(\w+) .* max (\S+) ", line.plain).groups() for line in lines if " max " in line.plain)


def test_after_a_resume_first_calls_do_not_count_and_that_is_said():
    def miss(*earlier):
        told = [r.Sampled(t=t, engine="e", prompt_tokens=90, cached_tokens=50) for t in range(40, 45)]
        return section(Scene(state=fold([*earlier, OPENED, *told]), now=45.0), 1).draw(80, 6)[1].plain

    assert miss().endswith("no history was sent again yet")
    assert miss(OPENED).endswith("first calls after a resume do not count")


def test_a_column_that_one_engine_has_not_told_yet_sets_no_maximum():
    """Taken for both engines, the busy one would make twice of what it is."""
    seen = [(t, name, n) for t in range(1, 10) for name, n in (("busy", 30), ("idle", 0))]
    stream = [OPENED, *(r.Sampled(t=t, engine=name, queued_requests=n, generated_tokens=n) for t, name, n in seen)]
    assert greatest(stream, 9.0) == {"decode": "30", "queue": "30"}
    more = r.Sampled(t=9.9, engine="busy", queued_requests=30, generated_tokens=27)
    assert greatest([*stream, more], 9.95) == {"decode": "30", "queue": "30"}


def test_what_the_greatest_value_is_in_has_room_where_many_tokens_are_prefilled():
    stream = [OPENED, *(r.Sampled(t=t, engine="e", prefill_tokens=107_000) for t in range(1, 9))]
    lines = section(Scene(state=fold(stream), now=8.5), 1).draw(80, 6)
    assert max(line.cell_len for line in lines) == 80
    assert any(line.plain.endswith("  max 107.0k tok/s") for line in lines)


def test_first_samples_of_several_engines_are_no_proof_that_they_do_not_tell():
    """Prefill is a difference between two readings, so that none is in the first."""

    def prefill(rounds):
        told = [r.Sampled(t=1.0 + t, engine=name, locked=0.5) for t in range(rounds) for name in "abc"]
        return section(Scene(state=fold([OPENED, *told]), now=1.5 + rounds), 1).draw(80, 6)[2].plain

    assert prefill(1).endswith("no reading yet")
    assert prefill(3).endswith("not told by the engine")
