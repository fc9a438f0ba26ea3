"""`concur watch` as a person uses it: on a terminal beside a run, in a pipe, before, during and after."""

import json
import os
import signal

import pytest
from forked import CONCUR, DEVNULL, PIPE, Program, concur
from on_terminal import OnTerminal
from test_keys import begun, records, write_job

from concur_batch import records as r
from concur_batch.journal.writer import JournalWriter


def start_run(tmp_path, *more, name="run"):
    return Program(name, *more, "--no-live", cwd=tmp_path, stdout=DEVNULL, stderr=DEVNULL)


def watch(tmp_path, *more, **options):
    return OnTerminal(*CONCUR, "watch", "out", *more, cwd=tmp_path, **options)


def finished_run(tmp_path, steps=1):
    job = write_job(tmp_path / "job.jsonl", count=3, steps=steps, command="true")
    assert start_run(tmp_path, job, "--out", "out").wait(60) == 0


def test_from_before_the_run_over_a_kill_and_a_resume_to_its_end(tmp_path):
    out = tmp_path / "out"
    job = write_job(tmp_path / "job.jsonl", count=4, steps=12, command="sleep 0.1")
    with watch(tmp_path) as terminal:
        terminal.until_shown("no run at out yet; waiting for it to begin")
        terminal.until_shown("q leave")
        assert "active" not in terminal.shown
        run = start_run(tmp_path, job, "--out", "out")
        try:
            terminal.until((out / "journal").exists, "a journal")
            terminal.until(lambda: len(records(out, "tool_finished")) > 4, "tool calls")
            terminal.until_shown("0 of 4")
            run.kill()
            run.wait()
            terminal.until_shown("concur resume out")
            terminal.until_shown("broke off")
            here = len(terminal.shown)
            run = start_run(tmp_path, "out", name="resume")
            assert run.wait(90) == 0
        finally:
            run.kill()
            run.wait()
        terminal.until_shown("4 of 4", here)
        terminal.until_shown("finished", here)
        assert terminal.process.poll() is None
        terminal.type("e")
        terminal.until_shown("0 rollouts failed", here)
        terminal.type("q")
        assert terminal.code() == 0
        assert terminal.is_as_before
    assert terminal.raw.count(b"\x1b[?25h") >= terminal.raw.count(b"\x1b[?25l")


def test_several_look_on_and_leave_as_they_like(tmp_path):
    out = tmp_path / "out"
    job = write_job(tmp_path / "job.jsonl", count=3, steps=8, command="sleep 0.2")
    run = start_run(tmp_path, job, "--out", "out")
    try:
        with watch(tmp_path) as one, watch(tmp_path, "--exit") as other, watch(tmp_path) as third:
            begun(one, out)
            for terminal in (one, other, third):
                terminal.until_shown("of 3")
            one.until(lambda: not one.takes_lines, "keys")
            one.type("q")
            assert one.code() == 0
            third.process.send_signal(signal.SIGINT)
            assert third.code() == 0
            assert third.is_as_before
            assert run.wait(60) == 0
            assert other.code() == 0
            assert "3 of 3" in other.shown
    finally:
        run.kill()
        run.wait()
    assert [x["cause"] for x in records(out, "segment_finished")] == ["finished"]
    assert not records(out, "drain_started")


def test_one_picture_and_plain_lines_of_a_run_that_is_over(tmp_path):
    finished_run(tmp_path)
    with watch(tmp_path, "--once") as terminal:
        assert terminal.code() == 0
        assert terminal.is_as_before
    assert "3 of 3" in terminal.shown
    for more in (["--once"], ["--exit"]):
        done = concur("watch", "out", *more, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert "3/3 ended" in done.stdout
        assert "ended: finished" in done.stdout
        assert len(done.stdout.splitlines()) == 1


def test_in_a_pipe_it_tells_of_a_run_line_by_line_until_it_is_told_to_leave(tmp_path):
    finished_run(tmp_path)
    process = Program("watch", "out", cwd=tmp_path, stdout=PIPE, stderr=PIPE)
    assert "3/3 ended" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, told = process.communicate(timeout=60)
    assert (process.returncode, rest, told) == (0, "", "")


def test_what_is_waited_for_is_said_first(tmp_path):
    process = Program("watch", "runs/first", cwd=tmp_path, stdout=PIPE, stderr=PIPE)
    assert process.stdout.readline() == "no run at runs/first yet (nor is there runs); waiting for it to begin\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("", "")


def test_a_reader_that_goes_away_ends_it(tmp_path):
    finished_run(tmp_path)
    reading, writing = os.pipe()
    os.close(reading)
    done = concur("watch", "out", cwd=tmp_path, stdout=writing)
    os.close(writing)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_a_journal_line_that_is_broken_is_one_sentence(tmp_path):
    finished_run(tmp_path)
    path = tmp_path / "out" / "journal" / "000001.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b"{broken\n", *lines[3:]]))
    for more in (["--once"], []):
        done = concur("watch", "out", *more, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr.startswith("concur: ")
        assert "000001.jsonl:4: broken journal line" in done.stderr
    with watch(tmp_path) as terminal:
        assert terminal.code() == 2
        assert terminal.is_as_before
    assert "broken journal line" in terminal.shown


@pytest.mark.parametrize("name", ["nowhere/out", "job.jsonl", "full", "soon"])
def test_where_there_is_no_run(tmp_path, name):
    write_job(tmp_path / "job.jsonl")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thing").write_text("")
    done = concur("watch", name, "--once", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"concur: {name}: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_small_terminal_and_one_that_can_show_little(tmp_path):
    finished_run(tmp_path)
    for rows, columns in ((3, 20), (50, 200)):
        with watch(tmp_path, rows=rows, columns=columns) as terminal:
            terminal.until(lambda terminal=terminal: not terminal.takes_lines, "keys")
            terminal.type("q")
            assert terminal.code() == 0
        assert "Traceback" not in terminal.shown
    with watch(tmp_path, "--exit", env={"TERM": "dumb"}) as terminal:
        assert terminal.code() == 0
    assert "3/3 ended" in terminal.shown


def test_a_simulation_is_watched_too(tmp_path):
    assert concur("simulate", "--agents", "8", "--profile", "qwen3-8b@h100x1", "--out", "out", cwd=tmp_path).returncode == 0
    done = concur("watch", "out", "--exit", cwd=tmp_path)
    assert "8/8 ended" in done.stdout
    kinds = {json.loads(line)["kind"] for line in (tmp_path / "out" / "journal" / "000001.jsonl").open()}
    assert kinds.isdisjoint({"runner_measured", "steered"})


def test_a_simulation_that_broke_off_is_to_be_run_again(tmp_path):
    out = tmp_path / "out"
    assert concur("simulate", "--agents", "3", "--out", "out", cwd=tmp_path).returncode == 0
    (segment,) = (out / "journal").iterdir()
    segment.write_text("".join(segment.read_text().splitlines(keepends=True)[:-1]))  # killed before its last record
    said = concur("watch", "out", "--once", cwd=tmp_path).stdout
    assert "it is a simulation, which is not resumed; run `concur simulate` again" in said
    assert "concur resume" not in said


def test_the_first_lines_of_a_run_are_enough_for_a_picture(tmp_path):
    writer = JournalWriter(tmp_path / "out")
    writer.write(r.SegmentStarted(t=0.0, epoch=1e9, host="h", pid=1, version="0"))
    writer.close()
    with watch(tmp_path, "--exit") as terminal:
        assert terminal.code() == 0
    assert "broke off" in terminal.shown
