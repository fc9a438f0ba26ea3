"""`concur run TRACE --agent replay` against the simulated server, both as users start them."""

import json
import signal
import time

import pyarrow.parquet as pq
import pytest
from forked import Program, concur, simulator

from concur_batch import records as r
from concur_batch.sim.trace import trace_of
from concur_batch.sim.workload import scaled

PROFILE = "[cost]\nprefill_per_token_s = 1e-6\ndecode_fixed_s = 0.0005\n"
ROWS = [
    {
        "input_prompt_length": 5_000 + 500 * i,
        "num_turns": 3,
        "assistant_response_length": [60, 80, 100],
        "tool_call_output_length": [400, 900, 500 + i],
        "tool_call_latency": [0.5, 1.0, 0.2],
        "final_assistant_response_length": 50,
    }
    for i in range(8)
]


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    profile = tmp_path_factory.mktemp("engine") / "quick.toml"
    profile.write_text(f'base = "qwen3-8b@h100x1"\npool_tokens = 200_000\n{PROFILE}')
    with simulator("--profile", profile, "--chars-per-token", "1", "--template-tokens") as address:
        yield address


@pytest.fixture
def trace(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def ended(folder, *arguments, code=0):
    done = concur(*arguments, cwd=folder)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return " ".join((done.stdout + done.stderr).split())


def replies(out):
    index, found = {}, []
    for segment in sorted((out / "journal").glob("*.jsonl")):
        for line in segment.read_bytes().splitlines():
            record = r.decoder.decode(line)
            if isinstance(record, r.RolloutStarted):
                index[record.rollout] = record.index
            elif isinstance(record, r.ReplyReceived):
                found.append((index[record.rollout], record))
    return found


def assert_recorded(out, tokens=1.0):
    """Every call of every agent once, with the recorded counts."""
    found = replies(out)
    assert len(found) == len({(i, x.step) for i, x in found}) == sum(row["num_turns"] + 1 for row in ROWS)
    for i, reply in found:
        wanted = scaled(trace_of(ROWS[i]), tokens, 1.0)
        assert reply.completion_tokens == wanted.outputs[reply.step - 1]
        assert reply.prompt_tokens == pytest.approx(wanted.prompts()[reply.step - 1], rel=0.03)


def test_a_trace_becomes_load_of_the_recorded_lengths(url, trace, tmp_path):
    arguments = ["--agent", "replay", "--engine", url, "--time-scale", "0.1", "--out", "out", "--no-live"]
    said = ended(tmp_path, "run", trace, *arguments)
    assert "is simulated: its replies are filler text of the recorded lengths; no model is run." in said
    assert_recorded(tmp_path / "out")
    rows = pq.read_table(tmp_path / "out" / "results.parquet").to_pylist()
    assert [row["status"] for row in rows] == ["completed"] * len(ROWS)
    shared = {x.cached_tokens for i, x in replies(tmp_path / "out") if x.step == 1}
    assert max(shared) > 4_000  # the shared part of the first prompt, found by all but the first


def test_it_is_interrupted_and_taken_up_again(url, trace, tmp_path):
    command = ["run", trace, "--agent", "replay", "--engine", url, "--token-scale", "0.5", "--out", "out", "--no-live"]
    with (tmp_path / "said").open("wb") as said:
        run = Program(*command, cwd=tmp_path, stdout=said, stderr=said)
        end = time.monotonic() + 60
        while len(list((tmp_path / "out").glob("journal/*"))) == 0 or len(replies_so_far(tmp_path / "out")) < len(ROWS):
            assert run.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        assert run.wait(60) == 130
    begun = len(replies(tmp_path / "out"))
    assert begun < sum(row["num_turns"] + 1 for row in ROWS)
    ended(tmp_path, "resume", "out", "--no-live")
    assert_recorded(tmp_path / "out", tokens=0.5)


def replies_so_far(out):
    return [
        line for segment in out.glob("journal/*") for line in segment.read_bytes().splitlines() if b'"reply_received"' in line
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--agent", "replay"], "--agent replay puts load on a server: name it by --engine URL; without a server, use `concur"),
        (["--time-scale", "0.5"], "replay.time_scale: is for the agent 'replay'; give --agent replay as well, or leave it out"),
        (["--agent", "replay", "--token-scale", "0"], "token_scale"),
    ],
)
def test_what_cannot_be_meant_is_refused(trace, tmp_path, arguments, told):
    assert told in ended(tmp_path, "run", trace, *arguments, code=2)


def test_rows_that_are_no_trace_are_named(trace, tmp_path, url):
    trace.write_text('{"prompt": "Hello"}\n' + json.dumps({**ROWS[0], "num_turns": 2}) + "\n")
    told = ended(tmp_path, "run", trace, "--agent", "replay", "--engine", url, code=2)
    assert "trace.jsonl:1: input_prompt_length: is missing; add it to the row" in told
    assert "trace.jsonl:2: assistant_response_length: has 3 entries, and num_turns is 2" in told


def test_a_single_row_cannot_be_a_replay(tmp_path, url):
    job = tmp_path / "job.jsonl"
    job.write_text(json.dumps({"agent": "replay", **ROWS[0]}) + "\n")
    assert "is for a whole run and no single row" in ended(tmp_path, "run", job, "--engine", url, code=2)
