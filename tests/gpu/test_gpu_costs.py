import random

import costs
import pytest

PREFILL_S, TOKEN_S, DECODE_S, CONTEXT_S = 0.017, 24e-6, 0.008, 3e-8


def log(intervals=400, noise=0.0, seed=0):
    """What SGLang would have written, of an engine with these costs."""
    rng = random.Random(seed)
    running, context = 8, 20_000
    lines = [
        f"[t] Decode batch, #running-req: {running}, #token: {context}, token usage: 0.3, gen throughput (token/s): 0.00, #q"
    ]
    for _ in range(intervals):
        prefills = [rng.randint(20, 3000) for _ in range(rng.randint(0, 9))]
        later = rng.randint(10_000, 60_000)
        seconds = sum(PREFILL_S + TOKEN_S * tokens for tokens in prefills)
        seconds += costs.ITERATIONS * (DECODE_S + CONTEXT_S * (context + later) / 2)
        rate = costs.ITERATIONS * running / seconds * rng.uniform(1 - noise, 1 + noise)
        lines += [f"[t] Prefill batch, #new-seq: 1, #new-token: {tokens}, #cached-token: 9" for tokens in prefills]
        lines.append(
            f"[t] Decode batch, #running-req: {running}, #token: {later}, x: 1, gen throughput (token/s): {rate:.4f}, #q"
        )
        context = later
    return lines


@pytest.mark.parametrize(("noise", "within"), [(0.0, 0.001), (0.03, 0.15)])
def test_the_costs_behind_a_log_are_found(noise, within):
    found = list(costs.intervals(log(noise=noise)))
    told = costs.least_squares([interval.row for interval in found], [interval.seconds for interval in found])
    assert told == pytest.approx([PREFILL_S, TOKEN_S, DECODE_S, CONTEXT_S], rel=within)


def test_idle_time_is_no_cost(tmp_path, monkeypatch, capsys):
    lines = log(20)
    lines.insert(5, "[t] Decode batch, #running-req: 8, #token: 9, x: 1, gen throughput (token/s): 2.0, #q")  # 160 s
    (tmp_path / "server.log").write_text("\n".join(lines))
    monkeypatch.setattr("sys.argv", ["costs", str(tmp_path / "server.log"), "qwen3-8b@h100x1"])
    assert costs.main() == 0
    told = capsys.readouterr().out
    assert "20 intervals" in told
    assert 'base = "qwen3-8b@h100x1"' in told


def test_a_file_that_is_no_log_is_told(tmp_path, monkeypatch, capsys):
    (tmp_path / "server.log").write_text("nothing\n")
    monkeypatch.setattr("sys.argv", ["costs", str(tmp_path / "server.log"), "qwen3-8b@h100x1"])
    assert costs.main() == 1
    assert "0 intervals" in capsys.readouterr().err


def test_a_log_that_is_not_there_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["costs", str(tmp_path / "none.log"), "qwen3-8b@h100x1"])
    assert costs.main() == 2
    assert "none.log cannot be read (No such file or directory)" in capsys.readouterr().err
