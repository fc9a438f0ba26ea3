"""What a real SGLang 0.5.23 decided, and what the simulated one decides: recordings of `tools/fidelity/decisions.py run --keep`."""

from pathlib import Path

import pytest
from decisions_recording import Admitted, Batch, Pool, Recording, compact, read
from decisions_replay import compare, replayed

RECORDINGS = sorted(Path(__file__).with_name("recordings").glob("*.jsonl.gz"))


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name.partition(".")[0])
def test_the_simulated_engine_decides_as_the_real_one_did(path):
    real = read(path)
    found = compare(real, replayed(real))
    assert found.prefill_identical == 1.0
    assert found.pool_identical == 1.0
    assert found.decode_identical == 1.0
    assert found.retractions_identical == 1.0
    assert found.ends_identical == 1.0


def test_the_recordings_strain_what_they_are_to_strain():
    found = {path.name.partition(".")[0]: compare(real := read(path), replayed(real)) for path in RECORDINGS}
    assert all(one.queued > one.requests / 2 and one.evicted_tokens for one in found.values())
    assert found["retraction"].retractions > 1


RAW = """\
{"engine":{"capacity_tokens":50,"context_length":100,"page_size":1,"cache":"UnifiedRadixCache"}}
{"idle":true}
{"add":"a","prompt":[1,2,3,4,5,6],"max_new":2,"ignore_eos":true,"priority":null,"session":null}
{"add":"b","prompt":[1,2,3,4,9,9],"max_new":2,"ignore_eos":false,"priority":null,"session":null}
{"prefill":[["a",0,6],["b",4,2]],"free":42,"evictable":0,"ratio":0.7,"t":1.0}
{"decode":["a","b"],"free":40,"evictable":0,"ratio":0.7,"t":1.1}
{"end":"a","output":[7,7],"reason":"length"}
{"end":"b","output":[8,8],"reason":"length"}
{"idle":true}
"""


def test_a_recording_is_kept_in_little_space_and_read_as_it_was(tmp_path):
    raw, path = tmp_path / "raw", tmp_path / "kept.jsonl.gz"
    raw.write_text(RAW)
    compact(raw, path)
    real = read(path)
    assert real.options.capacity_tokens == 50
    assert real.batches == [Batch((Admitted("a", 0, 6), Admitted("b", 4, 2)), Pool(42, 0, 0.7)), Batch(decoding=2)]
    assert real.ended == [(2, "a"), (2, "b")]
    came = [arrival.call for arrival in real.arrivals if arrival.call]
    assert [call.prompt[0].content for call in came] == ['!"#$%&', '!"#$))']


def test_requests_that_come_to_an_idle_engine_together_are_looked_at_together(tmp_path):
    raw, path = tmp_path / "raw", tmp_path / "kept.jsonl.gz"
    raw.write_text(RAW)
    compact(raw, path)
    core = replayed(real := read(path))
    assert [part.rid for part in core.batches[0].admitted] == ["a", "b"]
    assert compare(real, core).decode_identical == 1.0


def test_what_differs_is_counted():
    real = Recording({"capacity_tokens": 50, "context_length": 100})
    real.batches = [Batch((Admitted("a", 0, 6),), Pool(44, 0, 0.7)), Batch(decoding=1)]
    found = compare(real, replayed(real))
    assert (found.prefill_identical, found.decode_identical, found.first_difference) == (0.0, 0.0, 0)
