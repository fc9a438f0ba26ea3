import io

import pytest
from rich.console import Console

from concur_batch.results.comparison import table
from concur_batch.results.tally import Tally

OFF = {
    "controller": "off",
    "profile": "qwen3-32b@h100x4",
    "agents": 256,
    "pool_tokens": 800_000,
    "steps": 4_715,
    "makespan_s": 3_800.0,
    "lower_bound_s": 1_225.5,
    "generated_tokens": 1_742_820,
    "prompt_tokens": 76_582_785,
    "cached_tokens": 11_673_664,
    "recomputed_tokens": 60_070_630,
    "hit_rate": 0.1524,
    "miss_rate": 0.8433,
    "agent_p50_s": 2_717.5,
    "agent_p95_s": 3_748.5,
    "agent_p99_s": 3_771.8,
    "first_result_s": 364.2,
    "done_p50_s": 2_717.5,
    "done_p95_s": 3_748.5,
    "ttft_p50_s": 8.25,
    "ttft_p99_s": 31.0,
    "retractions": 12,
    "pauses": 0,
    "paused_max_s": 0.0,
    "wall_s": 4.1,
}
AIMD = OFF | {
    "controller": "aimd",
    "makespan_s": 1_900.0,
    "hit_rate": 0.92,
    "recomputed_tokens": 1_261_910,
    "paused_max_s": 219.6,
}


def printed(rows, width=80):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table(rows, width))
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_one_run_is_names_and_values_in_groups():
    lines = printed([OFF])
    assert max(map(len, lines)) <= 80
    assert lines.count("") == 3
    values = {line[:14].strip(): line[14:] for line in lines if line}
    assert values == {
        "controller": "off on qwen3-32b@h100x4",
        "agents": "256; 4,715 steps, pool of 800,000 tokens",
        "makespan": "3,800 s (1 h 03 min)",
        "lower bound": "20 min 26 s without recomputing, 32.2 % of the makespan",
        "results": "first after 6 min 04 s, half by 45 min 18 s, 95 % by 1 h 02 min",
        "an agent": "p50 45 min 18 s, p95 1 h 02 min, p99 1 h 02 min",
        "first token": "p50 8.25 s, p99 31.0 s",
        "hit rate": "15.2 % of 76,582,785 prompt tokens",
        "recomputed": "60,070,630 tokens, 84.3 % of the history",
        "generated": "1,742,820 tokens",
        "retractions": "12",
        "pauses": "0, the longest 0.0 s",
        "simulated in": "4.10 s",
    }


def test_several_runs_are_compared_with_the_first():
    lines = printed([OFF, AIMD])
    assert max(map(len, lines)) <= 80
    assert len(lines) == 4
    assert lines[1].split()[:3] == ["controller", "s", "first"]
    assert lines[2].split()[:6] == ["off", "3,800", "1.00", "32.2", "%", "15.2"]
    assert lines[3].split()[:6] == ["aimd", "1,900", "2.00", "64.5", "%", "92.0"]


def heads(rows, width):
    return [name for name in ("makespan", "first", "hit", "agent", "recom-", "ttft", "longest", "tions") if name in " ".join(printed(rows, width)[:2])]  # fmt: skip


def test_a_narrow_table_keeps_what_matters_most():
    assert heads([OFF, AIMD], 30) == ["makespan", "first"]
    assert heads([OFF, AIMD], 40) == ["makespan", "first", "hit"]
    assert heads([OFF, AIMD], 160) == ["makespan", "first", "hit", "agent", "recom-", "ttft", "longest", "tions"]


def went(first, low, high, last):
    return {"first": first, "low": low, "high": high, "last": last}


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ({"agents": went(256, 256, 256, 256), "tokens": None}, "256"),
        ({"agents": went(256, 256, 256, 256), "tokens": None, "requests": went(10, 10, 10, 10)}, "10 calls"),
        ({"agents": went(8, 2, 1024, 40), "tokens": None}, "8 → 2..1,024 → 40"),
        ({"agents": went(256, 256, 256, 256), "tokens": went(400_000, 240_000, 1_234_567, 800)}, "400k → 240k..1.2M → 800 tok"),
        ({"agents": None, "tokens": went(None, 100_000, None, 100_000)}, "no limit → 100k..no limit → 100k tok"),
    ],
)
def test_where_the_limit_went_is_told_where_there_is_room(limit, told):
    assert told in printed([OFF, AIMD | {"limit": limit}], 200)[3]
    assert "→" not in " ".join(printed([OFF, AIMD | {"limit": limit}], 80))


def test_at_160_columns_all_is_there_that_one_compares():
    limit = {"limit": {"agents": went(256, 12, 256, 40), "tokens": None}, "done_p99_s": 3_790.0}
    spread = {"least_makespan_s": 3_650.0, "most_makespan_s": 3_900.0}
    lines = printed([OFF | limit | spread, AIMD | limit | spread], 160)
    assert max(map(len, lines)) <= 160
    first, second = lines[:2]
    for word in ("makespan", "of seeds", "x", "hit", "miss", "recom-", "limit: first →"):
        assert word in first
    assert (first.count("agent"), first.count("done"), second.count("p99 s"), "result s" in second) == (3, 3, 3, True)
    assert "256 → 12..256 → 40" in lines[3]
    assert "3,650..3,900" in lines[2]


def test_what_no_row_tells_has_no_column():
    served = dict.fromkeys(("lower_bound_s", "ttft_p50_s", "ttft_p99_s", "retractions"))
    text = " ".join(printed([OFF | served, AIMD | served], 160)[:2])
    assert not any(word in text for word in ("bound", "ttft", "tions"))


@pytest.mark.parametrize(
    ("found", "name"),
    [
        ({"window": 44}, "fixed:auto (44)"),
        ({"window": None}, "fixed:auto (off)"),
        ({"windows": [44, None, 40], "window": 40}, "fixed:auto (40..off)"),
        ({"windows": [44, 44], "window": 44}, "fixed:auto (44)"),
    ],
)
def test_a_sweep_tells_the_window_it_found(found, name):
    row = AIMD | {"controller": "fixed:auto"} | found
    assert printed([OFF, row])[3].startswith(name + " ")
    assert f"{name} on qwen3-32b@h100x4" in " ".join(printed([row]))


def test_several_engines_are_named_with_their_number():
    assert "off on 4 x qwen3-32b@h100x4" in " ".join(printed([OFF | {"engines": 4}]))


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 120, 160])
def test_a_row_takes_one_line_whatever_the_width(width):
    lines = printed([OFF, AIMD], width)
    assert len(lines) == 4
    assert max(map(len, lines)) <= width


def test_a_long_name_is_folded_not_cut():
    text = "".join("".join(line[:24].split()) for line in printed([OFF, AIMD | {"controller": "aimd[a] " + "low=0.25," * 5}]))
    assert "aimd[a]" + "low=0.25," * 5 in text


def test_what_is_not_known_is_a_dash():
    nothing = {"controller": "off"} | Tally().figures()
    assert "p50 -, p95 -, p99 -" in "\n".join(printed([nothing]))
    assert printed([OFF, nothing])[3].split()[1:4] == ["-", "-", "-"]


def test_no_run_is_no_table():
    with pytest.raises(ValueError, match="at least one run"):
        table([])


def test_what_went_otherwise_is_told():
    console = Console(width=100, record=True, file=io.StringIO())
    row = {
        "statuses": {"completed": 3, "context_length": 1},
        "agents": 4,
        "retractions": 2,
        "retracted_tokens": 700,
        "lower_bound_s": None,
    }
    console.print(table([row]))
    text = console.export_text()
    assert "4: completed 3, context_length 1;" in text
    assert "2, 700 tokens prefilled again" in text
    assert "not known: limits end agents early" in text


def test_makespans_have_as_many_digits_as_each_other():
    rows = [OFF | {"makespan_s": value, "least_makespan_s": 1.99, "most_makespan_s": 2.0} for value in (1.998, 20.0)]
    cells = [line.split() for line in printed(rows)[2:]]
    assert [row[1:3] for row in cells] == [["2.00", "1.99..2.00"], ["20.0", "1.99..2.00"]]
