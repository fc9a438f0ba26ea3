"""`concur results` as a user gives it: on runs that ended, are under way, were killed, or of which only results are left."""

import csv
import json
import os
import shutil
import subprocess
import time

import pyarrow.parquet as pq
import pytest
from forked import CONCUR, Program, concur

from concur_batch import records as r
from concur_batch.journal.writer import JournalWriter

ROWS = [
    {"id": "one", "prompt": "a", "tools": ["shell"], "n": 2,
     "script": [{"tool_calls": [{"name": "shell", "arguments": {"command": "echo seen"}}]}, "yes\x1b[31m [bold]it is[/bold]"]},
    {"id": "two", "prompt": "b", "script": [{"tool_calls": [{"name": "shell", "arguments": {"command": "true"}}]}]},
    {"id": "three", "prompt": "c", "script": ["no"]},
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with the run `out`: two rollouts of `one`, `two` that failed, and `three`."""
    folder = tmp_path_factory.mktemp("results")
    (folder / "job.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    done = concur("run", "job.jsonl", "--out", "out", "--no-live", cwd=folder)
    assert done.returncode == 1, done.stderr
    return folder


def results(folder, *arguments):
    done = concur("results", *arguments, cwd=folder, columns=80)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(folder, *arguments):
    done = concur("results", *arguments, cwd=folder, columns=80)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    (sentence,) = done.stderr.splitlines()
    return sentence


def test_the_table_and_its_filters(run):
    lines = results(run, "out").splitlines()
    assert [line.split()[0] for line in lines] == ["rollout", "one#0", "one#1", "two#0", "three#0"]
    assert r"yes\x1b[31m [bold]it is[/bold]" in lines[1]
    assert "engine: the embedded" in lines[3]
    assert max(map(len, lines)) <= 80
    assert "2 rollouts that match, of 4" in results(run, "out", "--id", "^t")
    assert "\n1 rollout that matches, of 4" in results(run, "out", "--id", "^two")
    assert "two#0" in results(run, "out", "--status", "error", "--error-class", "engine")
    assert results(run, "out", "--error-class", "tool") == "none of 4 rollouts matches\n"
    assert "1 of 4 rollouts; 2 more: --skip 2" in results(run, "out", "--limit", "1", "--skip", "1")
    rows = [json.loads(line) for line in results(run, "out", "--json", "--status", "completed").splitlines()]
    assert [(row["id"], row["rollout"], "messages" in row) for row in rows] == [
        ("one", 0, False),
        ("one", 1, False),
        ("three", 0, False),
    ]


def test_a_narrow_terminal_leaves_columns_out_and_says_so(run):
    lines = concur("results", "out", cwd=run, columns=40).stdout.splitlines()
    assert lines[0].split() == ["rollout", "status", "time", "output"]
    assert max(map(len, lines[:-1])) <= 40
    assert lines[-1] == "no room for steps, tokens: --json has all, as has a wider terminal"


def test_one_to_read(run):
    shown = results(run, "out", "--open", "one#1")
    assert "\x1b" not in shown
    assert "→ shell\n    command: echo seen" in shown
    assert r"yes\x1b[31m [bold]it is[/bold]" in shown
    assert "no" in results(run, "out", "--open", "three")
    assert "one#0 (completed), one#1 (completed)" in refused(run, "out", "--open", "one")
    assert "did you mean three?" in refused(run, "out", "--open", "thre")
    assert "did you mean three?" in refused(run, "out", "--open", "three#7")


def test_exports_of_those_that_pass(run, tmp_path):
    def export(name, *more):
        results(run, "out", "--export", tmp_path / name, *more)
        return tmp_path / name

    lines = export("a.jsonl", "--id", "o").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["one", "one", "two"]
    assert pq.read_table(export("a.parquet")).num_rows == 4
    assert len(list(csv.reader(export("a.csv").open()))) == 5
    chat = [
        json.loads(line) for line in export("chat.jsonl", "--format", "chat", "--status", "completed").read_text().splitlines()
    ]
    assert [line["messages"][0]["content"] for line in chat] == ["a", "a", "c"]
    assert [tool["function"]["name"] for tool in chat[0]["tools"]] == ["shell"]
    openai = results(run, "out", "--export", "-", "--format", "openai", "--limit", "1")
    assert json.loads(openai)["custom_id"] == "one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.jsonl", "a.parquet", "chat.jsonl"]


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_an_export_of_nothing_says_so_and_writes_no_file(run, tmp_path, form):
    place = tmp_path / f"none.{form}"
    done = concur("results", "out", "--export", place, "--id", "nobody", cwd=run)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"none of 4 rollouts matches: nothing was exported, and {place} was not written\n"
    assert list(tmp_path.iterdir()) == []
    if form == "jsonl":
        done = concur("results", "out", "--export", "-", "--skip", "9", cwd=run)
        assert (done.stdout, done.stderr) == ("", "--skip leaves none of 4 rollouts: nothing was exported\n")


def test_chats_of_rollouts_none_of_which_has_a_reply_write_no_file(tmp_path):
    (tmp_path / "mute.py").write_text(
        "from concur_batch.agent import agent\n@agent\nasync def mute(task, ctx):\n    return 'x'\n"
    )
    (tmp_path / "job.jsonl").write_text('{"prompt": "x", "script": ["y"], "n": 2}\n')
    ran = concur("run", "job.jsonl", "--agent", "mute.py:mute", "--out", "out", "--no-live", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    done = concur("results", "out", "--export", "chat.jsonl", "--format", "chat", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "none of 2 rollouts has any reply: nothing was exported, and chat.jsonl was not written\n"
    assert not list(tmp_path.glob("*chat*"))
    done = concur("results", "out", "--export", "-", "--format", "chat", "--limit", "1", cwd=tmp_path)
    assert done.stderr == "none of 1 rollout has any reply: nothing was exported\n"


def test_endings_in_capitals_tell_the_form_too(run, tmp_path):
    results(run, "out", "--export", tmp_path / "A.JSONL")
    assert len((tmp_path / "A.JSONL").read_text().splitlines()) == 4


def test_a_changed_job_leaves_the_tools_out(run, tmp_path):
    job = run / "job.jsonl"
    before = job.read_text()
    job.write_text(before.replace('"prompt": "a"', '"prompt": "A"'))
    try:
        done = concur("results", "out", "--export", "-", "--format", "chat", cwd=run)
    finally:
        job.write_text(before)
    assert "note: the tools are left out" in done.stderr
    assert "content changed" in done.stderr
    assert "tools" not in json.loads(done.stdout.splitlines()[0])


def test_an_export_replaces_nothing_unasked(run, tmp_path):
    there = tmp_path / "a.csv"
    there.write_text("mine")
    assert "exists already" in refused(run, "out", "--export", there)
    assert there.read_text() == "mine"
    results(run, "out", "--export", there, "--force")
    assert there.read_text() != "mine"
    there.unlink()
    there.symlink_to(there.name)
    assert "is a link that leads back to itself" in refused(run, "out", "--export", there, "--force")
    assert "is a file of the run's own" in refused(run, "out", "--export", "out/results.parquet", "--force")
    assert "no regular file" in refused(run, "out", "--export", "/dev/null", "--format", "csv", "--force")
    assert "no regular file" in refused(run, "out", "--export", tmp_path, "--format", "csv", "--force")
    assert "could not be written (No such file" in refused(run, "out", "--export", tmp_path / "no" / "a.csv")


def test_a_full_place_is_one_sentence(run):
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            [*CONCUR, "results", "out", "--export", "-"], cwd=run, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert "standard output could not be written (No space left on device)" in done.stderr


@pytest.mark.parametrize("arguments", [["--export", "-"], ["--json"], [], ["--open", "one#0"]])
def test_a_reader_that_goes_away_is_no_fault(run, arguments):
    reading, writing = os.pipe()
    os.close(reading)
    done = concur("results", "out", *arguments, cwd=run, stdout=writing)
    os.close(writing)
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if not line.startswith("exported")] == []


def test_a_run_that_has_not_begun(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_bytes((run / "out" / "config.json").read_bytes())
    assert results(tmp_path, "out") == "no rollout has ended yet\n"
    assert "no rollout has begun" in refused(tmp_path, "out", "--open", "one")
    assert results(tmp_path, "out", "--json") == ""


def test_a_terminal_that_knows_ascii_only(run):
    done = subprocess.run(
        [*CONCUR, "results", "out", "--open", "one#0"], cwd=run, capture_output=True, check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"\\u2192 shell" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "holds no run"),
        (["out", "--status", "complete"], "did you mean completed?"),
        (["out", "--id", "("], "no regular expression"),
        (["out", "--export", "a.txt"], "the ending tells no form"),
        (["out", "--export", "-", "--format", "parquet"], "name a file"),
        (["out", "--export", "a", "--format", "xml"], "there is no such form"),
        (["out", "--export", "z.csv", "--format", "parquet"], "the ending says csv; give another name, or leave --format out"),
        (["out", "--export", "z.jsonl.gz"], "exports are not compressed; leave out .gz, and compress z.jsonl afterwards"),
        (["out", "--export", "z.jsonl.GZ", "--format", "chat"], "leave out .gz"),
        (["out", "--format", "csv"], "add --export FILE"),
        (["out", "--open", "one", "--json"], "only one of them"),
        (["out", "--open", "one#0", "--status", "error"], "--open and --status: one that is named needs no filter"),
        (["out", "--open", "one#0", "--limit", "3"], "--open and --limit"),
    ],
)
def test_what_cannot_be_is_one_sentence(run, arguments, said):
    assert said in refused(run, *arguments)


@pytest.mark.parametrize("arguments", [[], ["--open", "one#0"], ["--export", "-"], ["--json"]])
def test_a_journal_that_cannot_be_read_is_one_sentence(run, tmp_path, arguments):
    shutil.copytree(run / "out", tmp_path / "out")
    (tmp_path / "out" / "results.parquet").unlink()
    segment = tmp_path / "out" / "journal" / "000001.jsonl"
    segment.unlink()
    segment.mkdir()  # which root cannot read either
    sentence = "concur: out/journal/000001.jsonl: cannot be read (Is a directory); see that it may be read here"
    assert refused(tmp_path, "out", *arguments) == sentence


def test_a_damaged_line_taken_out_of_the_journal_costs_one_conversation(run, tmp_path):
    shutil.copytree(run / "out", tmp_path / "out")
    segment = tmp_path / "out" / "journal" / "000001.jsonl"
    lines = segment.read_text().splitlines(keepends=True)
    lost = next(line for line in lines if '"reply_received"' in line and '"one#1"' in line)
    segment.write_text("".join(line for line in lines if line != lost))
    note = (
        "note: the journal lacks lines of one#1, so its row is without messages and otherwise complete; "
        "see what is there by: concur results out --open 'one#1'\n"
    )
    (tmp_path / "out" / "results.parquet").unlink()
    for _ in range(2):  # from the journal, and then from the results that `resume` makes of it
        assert concur("results", "out", "--export", "-", "--id", "#0", cwd=tmp_path).stderr.startswith("exported 3 of 4")
        done = concur("results", "out", "--export", "-", cwd=tmp_path)
        assert (done.returncode, note in done.stderr) == (0, True)
        rows = {(row["id"], row["rollout"]): row for row in map(json.loads, done.stdout.splitlines())}
        assert {who: len(row["messages"]) for who, row in rows.items()} == {
            ("one", 0): 4,
            ("one", 1): 0,
            ("two", 0): 3,
            ("three", 0): 2,
        }
        assert rows["one", 1]["output"] == rows["one", 0]["output"]
        chats = concur("results", "out", "--export", "-", "--format", "chat", "--status", "completed", cwd=tmp_path)
        assert len(chats.stdout.splitlines()) == 2
        assert "completed, with this as its output" in results(tmp_path, "out", "--open", "one#1")
        resumed = concur("resume", "out", "--no-live", cwd=tmp_path)
        assert (resumed.returncode, note in resumed.stderr) == (1, True)


def test_where_only_the_results_are_left(run, tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "results.parquet").write_bytes((run / "out" / "results.parquet").read_bytes())
    assert results(tmp_path, "kept") == results(run, "out")
    assert r"yes\x1b[31m [bold]it is[/bold]" in results(tmp_path, "kept", "--open", "one#0")
    assert "failed  error of class engine" in results(tmp_path, "kept", "--open", "two")
    assert "did you mean two?" in refused(tmp_path, "kept", "--open", "tw")
    (tmp_path / "kept" / "config.json").write_bytes((run / "out" / "config.json").read_bytes())
    (tmp_path / "kept" / "journal").mkdir()
    (tmp_path / "kept" / "journal" / "000001.jsonl").touch()
    assert "failed  error of class engine" in results(tmp_path, "kept", "--open", "two")
    assert "has lost its journal" in concur("status", "kept", cwd=tmp_path).stdout
    assert "The journal is gone; concur results shows what is left." in concur("report", "kept", cwd=tmp_path).stdout
    (tmp_path / "kept" / "results.parquet").write_text("broken")
    assert "there is no journal to take its rows from" in refused(tmp_path, "kept")


def test_beside_a_live_run_and_after_it_was_killed(tmp_path):
    rows = [
        {"id": "quick", "prompt": "x", "script": ["done"]},
        {
            "id": "slow",
            "prompt": "x",
            "script": [{"tool_calls": [{"name": "shell", "arguments": {"command": "sleep 600"}}]}, "y"],
        },
    ]
    (tmp_path / "job.jsonl").write_text("".join(json.dumps({**row, "tools": ["shell"]}) + "\n" for row in rows))
    (tmp_path / "empty").mkdir()
    with Program("run", "job.jsonl", "--out", "out", "--no-live", cwd=tmp_path) as process:
        while not all(kind in journal(tmp_path) for kind in ("rollout_finished", "tool_started")):
            assert process.poll() is None
            time.sleep(0.02)
        lines = results(tmp_path, "out").splitlines()
        assert lines[1].startswith("quick#0")
        assert lines[2:] == ["1 has not ended: concur status out"]
        assert "is still at work" in results(tmp_path, "out", "--open", "slow")
        process.kill()
    assert results(tmp_path, "out").splitlines() == lines
    opened = results(tmp_path, "out", "--open", "slow")
    assert "shell (call call_1_0) has not ended" in opened
    assert "was broken off here" in opened
    exported = concur("results", "out", "--export", "-", cwd=tmp_path)
    assert json.loads(exported.stdout)["id"] == "quick"
    assert exported.stderr == "exported 1 of 2 rollouts to standard output; 1 has not ended\n"
    assert not (tmp_path / "out" / "results.parquet").exists()


def journal(folder):
    return "".join(path.read_text() for path in folder.glob("out/journal/*"))


def test_results_of_an_earlier_process_are_not_taken_for_those_of_all(tmp_path):
    """Resumed and killed: results.parquet is as the first process left it."""
    (tmp_path / "job.jsonl").write_text(json.dumps(ROWS[2]) + "\n")
    assert concur("run", "job.jsonl", "--out", "out", "--no-live", cwd=tmp_path).returncode == 0
    (tmp_path / "job.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (ROWS[2], ROWS[0])))
    old = (tmp_path / "out" / "results.parquet").read_bytes(), (tmp_path / "out" / "summary.json").read_bytes()
    assert concur("resume", "out", "--no-live", cwd=tmp_path).returncode == 0
    (tmp_path / "out" / "results.parquet").write_bytes(old[0])
    (tmp_path / "out" / "summary.json").write_bytes(old[1])
    assert [line.split()[0] for line in results(tmp_path, "out").splitlines()] == ["rollout", "three#0", "one#0", "one#1"]


def test_one_that_went_on_elsewhere_and_waits_to_go_on_again(tmp_path):
    who = {"rollout": "a#0", "engine": "http://old"}
    writer = JournalWriter(tmp_path / "out")
    for record in (
        r.SegmentStarted(t=0.0, epoch=1e9, host="h", pid=1, version="0"),
        r.RolloutStarted(
            t=0.1, task="a", k=0, index=0, seed=3, model="small", messages=[{"role": "user", "content": "x"}], **who
        ),
        r.SegmentStarted(t=0.0, epoch=1e9, host="h", pid=1, version="0"),
        r.RolloutStarted(t=0.1, rollout="a#0", engine="http://new", task="a", k=0, index=0, seed=3, model="large", resumed=True),
        r.RolloutPaused(t=0.2, rollout="a#0", engine="http://new", step=0, reason="drain"),
    ):
        writer.write(record)
    writer.close()
    shown = results(tmp_path, "out", "--open", "a")
    assert "react on large at http://new, seed 3" in shown
    assert "the rollout goes on here with concur resume" in shown


def test_a_simulation_has_rows_too(tmp_path):
    assert concur("simulate", "--agents", "3", "--out", "out", cwd=tmp_path).returncode == 0
    assert len(results(tmp_path, "out").splitlines()) == 4
    assert "note" not in concur("results", "out", "--export", "-", "--format", "chat", cwd=tmp_path).stderr


def test_nobody_is_told_to_resume_a_simulation(tmp_path):
    assert concur("simulate", "--agents", "3", "--out", "out", cwd=tmp_path).returncode == 0
    (segment,) = (tmp_path / "out" / "journal").iterdir()
    lines = segment.read_text().splitlines(keepends=True)
    (first,) = (at for at, line in enumerate(lines) if "rollout_started" in line and "agent-00000#0" in line)
    paused = {"kind": "rollout_paused", "t": 0.0, "rollout": "agent-00000#0", "engine": "e", "step": 0, "reason": "limit"}
    segment.write_text("".join(lines[: first + 1]) + json.dumps(paused) + "\n")
    (tmp_path / "out" / "results.parquet").unlink()
    assert "the rollout was broken off here" in results(tmp_path, "out", "--open", "agent-00000")
    segment.unlink()
    refused = concur("results", "out", "--open", "agent-00000", cwd=tmp_path)
    assert "no rollout has begun in out; it is a simulation, which is not resumed; run `concur simulate` again" in refused.stderr
