import pytest
from hypothesis import given
from hypothesis import strategies as st
from journals import EPOCH, segment
from rich.console import Console

from concur_batch import records as r
from concur_batch.results.timeline import MEASURES, Timeline


def timeline(*records, **options):
    made = Timeline(**options)
    for record in records:
        made.apply(record)
    return made


def sampled(t, engine="e", **fields):
    return r.Sampled(t=t, engine=engine, **fields)


def decided(t, agents, engine="e"):
    return r.Decided(t=t, engine=engine, agents=agents)


def test_each_sample_stands_for_the_time_before_it_and_the_limit_for_the_time_after():
    series = timeline(
        segment(),
        decided(0.0, 8),
        sampled(1.0, prompt_tokens=100, cached_tokens=80, active=8, waiting=3, running_requests=6, generated_tokens=50),
        decided(1.0, 4),
        sampled(2.0, prompt_tokens=300, cached_tokens=60, active=4, waiting=7, running_requests=4, generated_tokens=70),
        decided(2.0, 2),
    ).series()
    assert series["t"] == [1.0, 2.0]
    assert series["window"] == [8.0, 4.0]
    assert series["hit_rate"] == [0.8, 0.2]
    assert (series["active"], series["waiting"], series["running_requests"]) == ([8.0, 4.0], [3.0, 7.0], [6.0, 4.0])
    assert series["generated_per_s"] == [50.0, 70.0]


def test_columns_are_ratios_of_sums_and_means_over_time():
    run = timeline(
        sampled(1.0, prompt_tokens=100, cached_tokens=100, history_tokens=10, missed_tokens=10, locked=0.2, active=10),
        sampled(4.0, prompt_tokens=300, cached_tokens=0, history_tokens=30, missed_tokens=0, locked=0.6, active=2),
    )
    series = run.series(1)
    assert (series["hit_rate"], series["miss_rate"]) == ([0.25], [0.25])
    assert (series["locked"], series["active"]) == ([pytest.approx(0.5)], [pytest.approx(4.0)])
    assert series["t"] == [4.0]


def test_the_limit_that_binds_is_drawn():
    def drawn(*limits):
        records = [
            record for t, limit in enumerate(limits, start=1) for record in (limit, sampled(t, capacity_tokens=1000, active=3))
        ]
        made = timeline(*records)
        return made.series()["limit"], [line.partition("  ")[0] for line in text(made)]

    def on_tokens(t, tokens):
        return r.Decided(t=t, engine="e", tokens=tokens)

    shares, names = drawn(decided(0.0, 16), on_tokens(1.0, 800), on_tokens(2.0, 600), on_tokens(3.0, None))
    assert shares == [None, 0.8, 0.6, None]
    assert "token limit" in names
    assert "window" not in names
    shares, names = drawn(decided(0.0, 16), decided(1.0, 8))
    assert shares == [None, None]
    assert "window" in names
    assert "token limit" not in names


def test_what_is_not_known_is_a_gap():
    series = timeline(
        decided(0.0, None), sampled(1.0, resident=0.5), sampled(2.0, stale=True, prompt_tokens=9, cached_tokens=3)
    ).series()
    assert series["resident"] == [0.5, None]
    assert series["hit_rate"] == [None, pytest.approx(1 / 3)]
    assert series["window"] == [None, None]


def test_one_engine_is_kept():
    records = [sampled(1.0, "a", active=1), sampled(1.0, "b", active=5), sampled(2.0, "a", active=1), sampled(2.0, "b", active=5)]
    assert timeline(*records).series()["active"] == [1.0, 1.0]


def test_segments_follow_one_another():
    series = timeline(
        segment(), decided(0.0, 9), sampled(1.0, active=9), segment(EPOCH + 99), decided(0.0, 3), sampled(1.0, active=3)
    ).series()
    assert (series["t"], series["window"], series["active"]) == ([1.0, 2.0], [9.0, 3.0], [9.0, 3.0])


def test_before_the_first_sample_there_is_nothing():
    assert timeline(decided(0.0, 8)).series() == {"t": [], **{measure: [] for measure in MEASURES}}
    assert text(timeline(decided(0.0, 8))) == ["no samples: the run was shorter than one interval"]


tokens = st.integers(0, 10**6)


@given(st.lists(st.tuples(tokens, tokens, st.integers(0, 500)), min_size=1, max_size=60), st.integers(1, 16))
def test_merged_bins_keep_the_sums(samples, most):
    run = timeline(
        *(sampled(i, prompt_tokens=a, cached_tokens=b, active=c) for i, (a, b, c) in enumerate(samples, start=1)), most=most
    )
    whole = run.series(1)
    prompt, cached = sum(a for a, *_ in samples), sum(b for _, b, _ in samples)
    assert whole["hit_rate"] == [pytest.approx(cached / prompt) if prompt else None]
    assert whole["active"] == [pytest.approx(sum(c for *_, c in samples) / len(samples))]
    assert len(run.series()["t"]) <= most


def text(run, width=80, encoding="utf-8"):
    console = Console(width=width, record=True, file=Encoded(encoding))
    console.print(run.render())
    return console.export_text().splitlines()


class Encoded:
    """A terminal that takes this encoding only."""

    def __init__(self, encoding):
        self.encoding = encoding

    def write(self, text):
        text.encode(self.encoding)

    def flush(self):
        pass

    def isatty(self):
        return False


def long_run():
    """A window that is halved in the middle of 80 s, and a hit rate that collapses there."""
    for t in range(1, 81):
        good = t <= 40
        yield decided(t - 1.0, 64 if good else 32)
        yield sampled(
            float(t),
            prompt_tokens=100_000,
            cached_tokens=100_000 if good else 0,
            active=64 if good else 32,
            running_requests=32,
            waiting=192,
            generated_tokens=12_345,
            locked=0.5,
            resident=1.0,
        )


def test_eighty_columns_hold_it():
    lines = text(timeline(*long_run()))
    assert len(lines) == 11  # a head, nine measures, the scale
    assert max(map(len, lines)) <= 80
    found = {line[:12].strip(): line[12:52] for line in lines}
    assert found["hit rate"] == "█" * 20 + "▁" * 20
    assert found["recomputed"] == " " * 40
    assert found["window"] == found["active"] == "█" * 20 + "▅" * 20
    assert found["locked"] == "▅" * 40
    numbers = {line[:12].strip(): line[52:].split() for line in lines}
    assert numbers["hit rate"] == ["100%", "0%", "0%", "100%"]
    assert numbers["window"] == ["64", "32", "32", "64"]
    assert numbers["recomputed"] == ["-", "-", "-", "-"]
    assert numbers["generated/s"] == ["12.3k"] * 4


def test_a_window_that_grows_on_does_not_flatten_the_agents():
    run = timeline(decided(0.0, 2), sampled(10.0, active=2), decided(10.0, 2_000), sampled(20.0, active=1))
    found = {line[:12].strip(): line[12:52] for line in text(run)}
    assert found["window"] == "█" * 40
    assert found["active"] == "█" * 20 + "▅" * 20


@pytest.mark.parametrize("width", [20, 36, 44, 52, 68, 80, 200])
def test_every_width_has_its_lines(width):
    lines = text(timeline(*long_run()), width=width)
    assert max(map(len, lines)) <= min(width, 80)
    assert [line[:12].strip() for line in lines[1:10]][:2] == ["hit rate", "recomputed"]


def test_without_unicode_it_is_ascii():
    lines = text(timeline(*long_run()), encoding="ascii")
    assert all(line.isascii() for line in lines)
    assert lines[1][12:52] == "#" * 20 + "_" * 20
