"""Following a journal while it is written: torn lines, new segments, other runs in its place."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch import records as r
from concur_batch.errors import RunDirectoryError
from concur_batch.journal.follower import Follower, fold_journal
from concur_batch.journal.reader import JournalReader
from concur_batch.journal.writer import JournalWriter


def paused(i, reason="limit"):
    return r.RolloutPaused(t=float(i), rollout=f"a#{i}", engine="e", step=i, reason=reason)


def line(record):
    return r.encoder.encode(record) + b"\n"


def times(records):
    return [record.t for record in records]


def everything(follower):
    found = []
    while records := follower.more():
        found += records
    return times(found)


@pytest.fixture
def journal(tmp_path):
    folder = tmp_path / "journal"

    def write(data, segment=1):
        folder.mkdir(exist_ok=True)
        with (folder / f"{segment:06d}.jsonl").open("ab") as file:
            file.write(data)

    write.run = tmp_path
    return write


def test_before_a_run_has_begun_there_is_nothing_and_then_it_comes(journal):
    follower = Follower(journal.run)
    assert follower.more() == []
    (journal.run / "journal").mkdir()
    assert follower.more() == []
    journal(line(paused(1)))
    assert everything(follower) == [1.0]
    assert follower.more() == []
    journal(line(paused(2)) + line(paused(3)))
    assert everything(follower) == [2.0, 3.0]
    assert follower.forgets == 0


def test_a_torn_last_line_is_waited_for(journal):
    follower = Follower(journal.run)
    whole = line(paused(2, "é€𝄞"))
    journal(line(paused(1)) + whole[:-9])
    assert everything(follower) == [1.0]
    journal(whole[-9:-1])
    assert everything(follower) == []
    journal(b"\n")
    assert everything(follower) == [2.0]


def test_a_torn_line_is_left_out_once_another_segment_follows(journal):
    follower = Follower(journal.run)
    journal(line(paused(1)) + line(paused(2))[:-5])
    assert everything(follower) == [1.0]
    journal(line(paused(3)), segment=2)
    assert everything(follower) == [3.0]
    journal(line(paused(4)), segment=2)
    journal(line(paused(5)), segment=3)
    assert everything(follower) == [4.0, 5.0]
    assert follower.share == pytest.approx(1.0, abs=0.2)


def test_the_last_of_a_segment_is_read_before_the_next(journal):
    follower = Follower(journal.run)
    journal(line(paused(1)))
    assert everything(follower) == [1.0]
    journal(line(paused(2)))
    journal(line(paused(3)), segment=2)
    assert everything(follower) == [2.0, 3.0]


def test_lines_longer_than_a_block(journal):
    journal(line(paused(1, "x" * 1000)) + line(paused(2)) + line(paused(3, "y" * 5000)))
    assert everything(Follower(journal.run, block_bytes=64)) == [1.0, 2.0, 3.0]


@given(
    st.lists(st.text(max_size=30), min_size=1, max_size=12),
    st.lists(st.integers(1, 60), min_size=1, max_size=60),
    st.integers(1, 200),
)
def test_however_it_is_written_and_read_nothing_is_lost_or_twice(tmp_path_factory, reasons, sizes, block_bytes):
    run = tmp_path_factory.mktemp("run")
    (run / "journal").mkdir()
    content = b"".join(line(paused(i, reason)) for i, reason in enumerate(reasons))
    follower, found = Follower(run, block_bytes=block_bytes), []
    with (run / "journal" / "000001.jsonl").open("ab", buffering=0) as file:
        for size in sizes:
            file.write(content[:size])
            content = content[size:]
            found += everything(follower)
        file.write(content)
    assert found + everything(follower) == [float(i) for i in range(len(reasons))]


def test_a_line_that_is_broken_for_a_moment_is_looked_at_again(journal):
    follower = Follower(journal.run, patience=3)
    whole = line(paused(2))
    journal(line(paused(1)) + b"\0" * (len(whole) - 1) + b"\n")  # as a file system shows what has not arrived yet
    assert times(follower.more()) == [1.0]
    assert follower.more() == []
    path = journal.run / "journal" / "000001.jsonl"
    with path.open("r+b") as file:
        file.seek(len(line(paused(1))))
        file.write(whole)
    assert everything(follower) == [2.0]


def test_a_line_that_stays_broken_is_told_with_its_place(journal):
    follower = Follower(journal.run, patience=2)
    journal(line(paused(1)) + b'{"kind": "rollout_pau\n' + line(paused(3)))
    assert times(follower.more()) == [1.0]
    assert [follower.more(), follower.more()] == [[], []]
    with pytest.raises(RunDirectoryError, match=r"000001\.jsonl:2: broken journal line"):
        follower.more()


def test_a_broken_line_is_told_as_by_the_reader(journal):
    journal(b'{"kind":"sampled","t":"x","engine":"e"}\n')
    with pytest.raises(RunDirectoryError) as followed:
        fold_journal(journal.run)
    with pytest.raises(RunDirectoryError) as read:
        list(JournalReader(journal.run).records())
    assert str(followed.value) == str(read.value)
    assert "at `$.t`" in str(read.value)


def test_a_later_version_says_so(journal):
    journal(b'{"kind":"from_the_future","t":0,"v":9}\n')
    with pytest.raises(RunDirectoryError, match="journal version 9"):
        fold_journal(journal.run)


@pytest.mark.parametrize("field", ["epoch", "t"])
@pytest.mark.parametrize("value", [1e18, -1e18, 1e300])
def test_a_date_that_cannot_be_is_a_broken_line(journal, field, value):
    told = {"epoch": 1e9, "t": 0.0} | {field: value}
    journal(line(r.SegmentStarted(**told, host="h", pid=1, version="1")))
    for reading in (fold_journal, lambda run: list(JournalReader(run).records())):
        with pytest.raises(
            RunDirectoryError, match=r"000001\.jsonl:1: broken journal line \(Expected `float` .*\); move the line out"
        ):
            reading(journal.run)


def test_another_run_in_its_place_is_begun_anew(journal):
    follower = Follower(journal.run)
    journal(line(paused(1)) + line(paused(2)))
    assert everything(follower) == [1.0, 2.0]
    path = journal.run / "journal" / "000001.jsonl"
    path.rename(path.with_suffix(".old"))
    assert everything(follower) == []
    assert follower.forgets == 1
    journal(line(paused(7)))
    assert everything(follower) == [7.0]


def test_a_segment_that_is_missing_is_told(journal):
    follower = Follower(journal.run)
    journal(line(paused(1)))
    assert everything(follower) == [1.0]
    journal(line(paused(3)), segment=3)
    assert follower.share == 0
    with pytest.raises(RunDirectoryError, match=r"segment 000002\.jsonl is missing"):
        follower.more()


def test_a_file_that_shrank_is_another_one(journal):
    follower = Follower(journal.run)
    journal(line(paused(1)) + line(paused(2)))
    assert everything(follower) == [1.0, 2.0]
    (journal.run / "journal" / "000001.jsonl").write_bytes(line(paused(9)))
    assert everything(follower) == []
    assert follower.forgets == 1
    assert everything(follower) == [9.0]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_what_may_not_be_read_is_one_sentence(journal):
    journal(line(paused(1)))
    (journal.run / "journal" / "000001.jsonl").chmod(0)
    follower = Follower(journal.run, patience=1)
    assert follower.more() == []
    with pytest.raises(RunDirectoryError, match="cannot be read"):
        follower.more()


def test_a_segment_that_is_a_folder_is_one_sentence(journal):
    (journal.run / "journal" / "000001.jsonl").mkdir(parents=True)
    with pytest.raises(RunDirectoryError, match="cannot be read"):
        fold_journal(journal.run)


def test_beside_the_shipped_writer(tmp_path):
    follower, writer = Follower(tmp_path), JournalWriter(tmp_path)
    for i in range(5):
        writer.write(paused(i))
        assert everything(follower) == [float(i)]
    writer.close()
    assert fold_journal(tmp_path).time == 4.0
