"""Append, tear, read."""

import json
import os
import resource
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch import records as r
from concur_batch.errors import RunDirectoryError
from concur_batch.journal.follower import fold_journal
from concur_batch.journal.reader import JournalReader
from concur_batch.journal.writer import JournalWriter, segments


def paused(i, reason="limit"):
    return r.RolloutPaused(t=float(i), rollout=f"a#{i}", engine="e", step=i, reason=reason)


def write(directory, items):
    writer = JournalWriter(directory)
    for item in items:
        writer.write(item)
    writer.close()


def test_segments_follow_each_other(tmp_path):
    write(tmp_path, [paused(1), paused(2)])
    write(tmp_path, [paused(3)])
    assert [path.name for path in segments(tmp_path)] == ["000001.jsonl", "000002.jsonl"]
    assert list(JournalReader(tmp_path).records()) == [paused(1), paused(2), paused(3)]


def test_a_line_is_plain_json_with_kind_version_and_time(tmp_path):
    write(tmp_path, [paused(1)])
    line = json.loads(segments(tmp_path)[0].read_text())
    assert (line["kind"], line["v"], line["t"], line["rollout"]) == ("rollout_paused", r.VERSION, 1.0, "a#1")


def test_a_torn_last_line_is_left_out_of_every_segment(tmp_path):
    write(tmp_path, [paused(1), paused(2)])
    path = segments(tmp_path)[0]
    path.write_bytes(path.read_bytes()[:-7])
    write(tmp_path, [paused(3)])
    assert list(JournalReader(tmp_path).records()) == [paused(1), paused(3)]


def test_a_broken_line_elsewhere_is_reported_with_its_place(tmp_path):
    write(tmp_path, [paused(1), paused(2), paused(3)])
    path = segments(tmp_path)[0]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b'{"kind": "rollout_pau\n' + lines[2])
    with pytest.raises(RunDirectoryError, match=r"000001\.jsonl:2: broken journal line"):
        list(JournalReader(tmp_path).records())


def test_a_later_version_says_so(tmp_path):
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "000001.jsonl").write_text('{"kind":"from_the_future","t":0,"v":9}\n')
    with pytest.raises(RunDirectoryError, match="journal version 9"):
        list(JournalReader(tmp_path).records())


def test_positions_lead_back_to_their_records(tmp_path):
    write(tmp_path, [paused(i) for i in range(5)])
    write(tmp_path, [paused(i, "é€𝄞") for i in range(5, 9)])
    reader = JournalReader(tmp_path)
    found = list(reader.positioned())
    assert [reader.at(position) for position, _ in reversed(found)] == [record for _, record in reversed(found)]
    reader.close()


def test_no_journal_has_no_records(tmp_path):
    assert list(JournalReader(tmp_path).records()) == []


def test_a_full_disk_stops_with_everything_before_readable(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = JournalWriter(tmp_path)
    writer.write(paused(1))
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the limit on file size stands in for the disk's end
    resource.setrlimit(resource.RLIMIT_FSIZE, (writer.path.stat().st_size + 30, before[1]))
    try:
        with pytest.raises(RunDirectoryError, match=r"cannot write .*concur resume"):
            writer.write(paused(2))
        writer.write(paused(3))  # nothing more is written, and nothing raises twice
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
        writer.close()
    assert list(JournalReader(tmp_path).records()) == [paused(1)]


def test_a_read_only_place_is_one_sentence(tmp_path):
    (tmp_path / "journal").write_text("a file where the folder should be")
    with pytest.raises(RunDirectoryError, match="mend that, and give the same command again"):
        JournalWriter(tmp_path)


def test_a_journal_that_cannot_be_read_is_not_an_empty_one(tmp_path):
    (tmp_path / "journal").symlink_to("journal")
    for use in (segments, JournalReader):
        with pytest.raises(RunDirectoryError, match=r"journal: cannot be read \(Too many levels of symbolic links\); mend "):
            use(tmp_path)


@pytest.mark.parametrize(("lost", "told"), [([1], 1), ([2], 2), ([1, 2], 1), ([3], None)])
def test_a_segment_that_is_missing_is_told(tmp_path, lost, told):
    for i in range(4 if told else 3):
        write(tmp_path, [paused(i)])
    paths = segments(tmp_path)
    for number in lost:
        paths[number - 1].unlink()
    if told is None:  # the last one, of which nothing is left that could tell
        assert segments(tmp_path) == paths[:2]
        return
    for use in (segments, JournalReader, JournalWriter, fold_journal):
        with pytest.raises(RunDirectoryError, match=rf"journal: segment 00000{told}\.jsonl is missing, .*; put it back"):
            use(tmp_path)


def test_other_files_beside_the_segments_are_no_segments_that_miss_others(tmp_path):
    write(tmp_path, [paused(1)])
    (tmp_path / "journal" / "000009.jsonl.old").touch()
    assert len(segments(tmp_path)) == 1


def test_a_journal_that_may_not_be_read_is_not_an_empty_one(tmp_path):
    write(tmp_path, [paused(1)])
    (tmp_path / "journal").chmod(0o333)
    if os.access(tmp_path / "journal", os.R_OK):
        pytest.skip("root may read everything")
    with pytest.raises(RunDirectoryError, match=r"journal: cannot be read \(Permission denied\); mend its permissions"):
        segments(tmp_path)


@given(st.lists(st.text(max_size=40), min_size=1, max_size=8), st.data())
def test_cut_anywhere_the_whole_lines_before_survive(tmp_path_factory, reasons, data):
    directory = tmp_path_factory.mktemp("run")
    written = [paused(i, reason) for i, reason in enumerate(reasons)]
    write(directory, written)
    path = segments(directory)[0]
    content = path.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    whole = content[:cut].count(b"\n")
    assert list(JournalReader(directory).records()) == written[:whole]


def test_what_no_file_can_hold_is_replaced(tmp_path):
    write(tmp_path, [paused(1, "a\ud800b"), paused(2)])
    assert [x.reason for x in JournalReader(tmp_path).records()] == ["a?b", "limit"]


def test_empty_lines_are_passed_over_by_all_who_read(tmp_path):
    failed = r.ToolFinished(t=1.0, rollout="a#1", step=1, n=1, tool="f", output="no", ok=False)
    write(tmp_path, [paused(1), failed, paused(2)])
    path = segments(tmp_path)[0]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"\n" + lines[0] + b" \t\n" + b"\n" + lines[1] + b"\r\n" + lines[2])
    reader = JournalReader(tmp_path)
    found = list(reader.positioned())
    assert [record for _, record in found] == [paused(1), failed, paused(2)]
    assert [reader.at(position) for position, _ in found] == [paused(1), failed, paused(2)]
    reader.close()
    assert fold_journal(tmp_path).faults.groups["tool", "tool"].newest.message == "f: no"
