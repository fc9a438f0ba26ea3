import gzip
import json
import os
import threading
from pathlib import Path

import pytest
import zstandard

from concur_batch.errors import InputError
from concur_batch.jobs.traces import read_traces
from concur_batch.sim.workload import AgentTrace

ROW = {
    "input_prompt_length": 6000,
    "num_turns": 2,
    "assistant_response_length": [100, 200],
    "tool_call_output_length": [50, 60],
    "tool_call_latency": [0.5, 2],
    "final_assistant_response_length": 300,
}
TRACE = AgentTrace(4096, 6000, (100, 200, 300), (50, 60), (0.5, 2.0))

HEADER = "id,input_len,output_len,arrival_time,round_idx,tool_wait_after_ms,prefix_len"


@pytest.fixture
def csv_file(tmp_path):
    def write(*rows, header=HEADER, name="coding_trace.csv"):
        path = tmp_path / name
        path.write_text("".join(f"{row}\n" for row in (header, *rows)), encoding="utf-8")
        return str(path)

    return write


def test_a_row_is_an_agent(write):
    assert read_traces(write(ROW)) == [TRACE]


def write_all(descriptor, content):
    with os.fdopen(descriptor, "wb") as pipe:
        pipe.write(content)


@pytest.mark.parametrize("packed", [bytes, gzip.compress])
def test_a_pipe_gives_all_its_agents(packed):
    reading, writing = os.pipe()
    content = packed(b"".join(json.dumps({**ROW, "expected_tokens": number + 1}).encode() + b"\n" for number in range(2000)))
    writer = threading.Thread(target=write_all, args=(writing, content), daemon=True)
    writer.start()
    try:
        assert [trace.expected_tokens for trace in read_traces(f"/dev/fd/{reading}")] == list(range(1, 2001))
    finally:
        os.close(reading)


def test_the_shared_part_comes_from_the_caller_else_the_row_else_4096_and_is_within_the_prompt(write):
    file = write(ROW, {**ROW, "shared_prefix_length": 10}, {**ROW, "input_prompt_length": 100})
    assert [trace.shared_tokens for trace in read_traces(file)] == [4096, 10, 100]
    assert [trace.shared_tokens for trace in read_traces(file, shared_tokens=7)] == [7, 7, 7]
    assert [trace.shared_tokens for trace in read_traces(file, shared_tokens=0)] == [0, 0, 0]


def test_a_row_may_tell_how_far_its_agent_is_expected_to_go(write):
    told, untold = read_traces(write({**ROW, "expected_tokens": 7000}, {**ROW, "expected_tokens": None}))
    assert (told.expected_tokens, untold.expected_tokens) == (7000, None)


def test_an_agent_without_tool_turns_makes_one_call(write):
    row = {**ROW, "num_turns": 0, "assistant_response_length": [], "tool_call_output_length": [], "tool_call_latency": []}
    assert read_traces(write(row)) == [AgentTrace(4096, 6000, (300,), (), ())]


def test_no_message_is_without_tokens(write):
    row = {**ROW, "tool_call_output_length": [0, 60], "final_assistant_response_length": 0}
    (trace,) = read_traces(write(row))
    assert (trace.observations, trace.outputs) == ((1, 60), (100, 200, 1))


def test_the_first_rows_alone(write):
    assert len(read_traces(write(ROW, ROW, ROW, "broken"), limit=2)) == 2


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_compressed_files_are_known_by_their_first_bytes(write, tmp_path, compress):
    plain = write(ROW, ROW)
    packed = tmp_path / "packed"
    packed.write_bytes(compress(Path(plain).read_bytes()))
    assert read_traces(str(packed)) == [TRACE, TRACE]


def without(name):
    return {key: value for key, value in ROW.items() if key != name}


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("{", "broken JSON at column"),
        ("[]", "is a list; each line should be one JSON object"),
        (without("num_turns"), "num_turns: is missing; add it"),
        (without("tool_call_latency"), "tool_call_latency: is missing; add it"),
        ({**ROW, "input_prompt_length": 0}, "input_prompt_length: is 0; should be 1 or more"),
        ({**ROW, "input_prompt_length": -5}, "input_prompt_length: is -5; should be a whole number"),
        ({**ROW, "input_prompt_length": True}, "input_prompt_length: is True; should be a whole number"),
        ({**ROW, "shared_prefix_length": "x"}, "shared_prefix_length: is 'x'; should be a whole number"),
        ({**ROW, "expected_tokens": 0}, "expected_tokens: is 0; should be a whole number, 1 to 999,999,999"),
        ({**ROW, "expected_tokens": 2.5}, "expected_tokens: is 2.5; should be a whole number, 1 to 999,999,999"),
        ({**ROW, "assistant_response_length": [1]}, "assistant_response_length: has 1 entries, and num_turns is 2"),
        ({**ROW, "assistant_response_length": 5}, "assistant_response_length: is 5; should be a list"),
        ({**ROW, "tool_call_output_length": [1, 2.5]}, r"tool_call_output_length\[1\]: is 2.5; should be a whole number"),
        ({**ROW, "tool_call_latency": [1, -1]}, r"tool_call_latency\[1\]: is -1; should be seconds"),
        ({**ROW, "tool_call_latency": [1, 1e300]}, r"tool_call_latency\[1\]: is 1e\+300; should be seconds"),
        ({**ROW, "tool_call_latency": ["a" * 99, 1]}, r"tool_call_latency\[0\]: is 'a{39}\.\.\.; should be seconds"),
        ('{"input_prompt_length": 5, "tool_call_latency": [NaN]}', "NaN is no JSON number"),
    ],
)
def test_a_broken_row_is_told_with_its_line(write, row, text):
    file = write(ROW, row)
    with pytest.raises(InputError, match=text) as error:
        read_traces(file)
    assert str(error.value).startswith(f"{file}:2: ")


def test_several_broken_rows_are_told_at_once(write):
    with pytest.raises(InputError) as error:
        read_traces(write("{", ROW, "{"))
    assert [line.partition(": ")[0][-1] for line in str(error.value).splitlines()] == ["1", "3"]


def test_files_that_are_not_there_or_hold_nothing(write, tmp_path):
    with pytest.raises(InputError, match=r"absent.jsonl: no such file; check the path"):
        read_traces(str(tmp_path / "absent.jsonl"))
    with pytest.raises(InputError, match="cannot be read"):
        read_traces(str(tmp_path))
    with pytest.raises(InputError, match=r"jobs.jsonl: is empty; should hold one agent per line"):
        read_traces(write())
    with pytest.raises(InputError, match=r"^-: a trace is not read from standard input; write it to a file"):
        read_traces("-")
    with pytest.raises(InputError, match=r"e.csv: is empty; should hold a header \(id, "):
        read_traces(write(name="e.csv"))


def test_a_damaged_file(write, tmp_path):
    plain = write(*[ROW] * 50)
    (tmp_path / "cut.gz").write_bytes(gzip.compress(Path(plain).read_bytes())[:-20])
    with pytest.raises(InputError, match="breaks off before its end"):
        read_traces(str(tmp_path / "cut.gz"))


def test_sessions_of_a_csv_are_agents(csv_file):
    file = csv_file("0,5000,100,0.0,0,1500.000000,0", "1,70,9,3.5,0,0.000000,30", "0,150,200,0.0,1,0.000000,5100")
    assert read_traces(file) == [
        AgentTrace(4096, 5000, (100, 200), (150,), (1.5,)),
        AgentTrace(100, 100, (9,), (), ()),
    ]
    assert read_traces(file, limit=1, shared_tokens=3) == [AgentTrace(3, 5000, (100, 200), (150,), (1.5,))]


def test_a_csv_without_rows_is_told(csv_file):
    with pytest.raises(InputError, match=r"trace.csv:1: is a header and nothing follows; should be followed by a row per model"):
        read_traces(str(csv_file()))


def test_what_the_server_had_cached_does_not_matter(csv_file):
    hit = csv_file("0,100,10,0,0,0,0", "0,20,5,0,1,0,110", name="hit.csv")
    missed = csv_file("0,100,10,0,0,0,0", "0,130,5,0,1,0,0", name="missed.csv")
    assert read_traces(hit) == read_traces(missed) == [AgentTrace(100, 100, (10, 5), (20,), (0.0,))]


def test_rounds_are_put_in_order_and_observations_have_a_token(csv_file):
    file = csv_file("0,1,5,0,1,0,104", "0,100,10,0,0,250,0")  # the reply is longer than what the prompt grew by
    assert read_traces(file) == [AgentTrace(100, 100, (10, 5), (1,), (0.25,))]


def test_a_compacted_session_goes_on_as_a_new_agent(csv_file):
    file = csv_file("0,900,10,0,0,1000,0", "0,300,20,0,1,2000,0", "0,50,30,0,2,0,320")
    assert read_traces(file, shared_tokens=0) == [
        AgentTrace(0, 900, (10,), (), ()),
        AgentTrace(0, 300, (20, 30), (50,), (2.0,)),
    ]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("0,x,1,0,1,0,0", "input_len: is 'x'; should be a whole number, 0 to 999,999,999"),
        ("0,1,1e9,0,1,0,0", "output_len: is '1e9'; should be a whole number, 0 to 999,999,999"),
        ("0,999999999,1,0,1,0,1", "input_len: makes 1,000,000,000 tokens with prefix_len; should be 999,999,999 at most"),
        ("0,1,-1,0,1,0,0", "output_len: is '-1'; should be a whole number"),
        ("0,1,1.5,0,1,0,0", "output_len: is '1.5'; should be a whole number"),
        ("0,1,1,0,1,nan,0", "tool_wait_after_ms: is 'nan'; should be milliseconds, 0 to 604,800,000"),
        ("0,1,1,0,1,0", "prefix_len: is missing; should be a whole number"),
        (",1,1,0,1,0,0", "id: is missing"),
    ],
)
def test_a_broken_csv_row_is_told_with_its_line(csv_file, row, text):
    file = csv_file("0,100,10,0,0,0,0", row)
    with pytest.raises(InputError, match=text) as error:
        read_traces(file)
    assert str(error.value).startswith(f"{file}:3: ")


def test_a_csv_without_the_columns_or_the_encoding(csv_file, tmp_path):
    with pytest.raises(InputError, match=r":1: has no column prefix_len, tool_wait_after_ms; should be a CSV that TraceLab's"):
        read_traces(csv_file("0,1,1,0", header="id,input_len,output_len,round_idx"))
    with pytest.raises(InputError, match=r":1: has no column id, round_idx"):
        read_traces(csv_file("0,100,10,0,0,0,0", header=""))
    (tmp_path / "latin.csv").write_bytes(b"\xe9t\xe9\n")
    with pytest.raises(InputError, match="not UTF-8"):
        read_traces(str(tmp_path / "latin.csv"))
