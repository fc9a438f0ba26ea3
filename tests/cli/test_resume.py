"""`concur resume`: what it leaves as it was, and what it says."""

import json
import subprocess

import pytest
from forked import CONCUR, concur

NOBODY = ("--engine", "http://127.0.0.1:9", "--set", "engine.start_wait_s=0")
TOO_SHORT = ({"tool_calls": [{"name": "look", "arguments": {}}]},)


def write_job(folder, count, script=("done",)):
    rows = [{"id": f"t{i}", "prompt": "p", "script": list(script)} for i in range(count)]
    (folder / "job.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def ran(folder, *more, script=("done",), code=0):
    write_job(folder, 3, script)
    done = concur("run", "job.jsonl", "--out", "out", "--no-live", *more, cwd=folder)
    assert done.returncode == code, done.stderr


def resumed(folder, *more, code=0):
    done = concur("resume", "out", "--no-live", *more, cwd=folder)
    assert done.returncode == code, done.stderr
    return done


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in (folder / "out").rglob("*") if path.is_file()}


def summary(folder):
    return json.loads((folder / "out" / "summary.json").read_text())


def status(folder):
    return json.loads(concur("status", "out", "--json", cwd=folder).stdout)


@pytest.mark.parametrize("lost", [("results.parquet", "summary.json"), ("summary.json",)])
def test_results_that_were_never_written_are_told_and_the_next_command_writes_them(tmp_path, lost):
    """As after a kill between the last record and the results."""
    ran(tmp_path)
    for name in lost:
        (tmp_path / "out" / name).unlink()
    told = status(tmp_path)
    assert (told["condition"], told["results_written"], told["next_command"]) == ("finished", False, "concur resume out")
    resumed(tmp_path)
    assert (tmp_path / "out" / "results.parquet").exists()
    assert (status(tmp_path)["results_written"], status(tmp_path)["next_command"]) == (True, None)


def test_a_job_from_standard_input_is_not_read_anew(tmp_path):
    write_job(tmp_path, 3)
    job = (tmp_path / "job.jsonl").read_text()
    done = concur("run", "-", "--out", "out", "--no-live", cwd=tmp_path, stdin=job)
    assert done.returncode == 0, done.stderr
    kept = tmp_path / "out" / "stdin.jsonl"
    kept.unlink()
    refused = concur("resume", "out", "--no-live", cwd=tmp_path, stdin=job)
    assert (refused.returncode, "has lost its stdin.jsonl" in refused.stderr, kept.exists()) == (2, True, False)
    kept.write_text(job)
    resumed(tmp_path)


@pytest.mark.parametrize("was_there", [False, True])
def test_a_run_that_never_begins_can_be_begun_in_the_same_place(was_there, tmp_path):
    if was_there:
        (tmp_path / "out").mkdir()
    write_job(tmp_path, 3)
    assert concur("run", "job.jsonl", "--out", "out", *NOBODY, "--no-live", cwd=tmp_path).returncode == 3
    assert (tmp_path / "out").exists() == was_there
    ran(tmp_path)


def test_latest_is_the_newest_that_has_begun(tmp_path):
    write_job(tmp_path, 1)
    assert concur("run", "job.jsonl", "--no-live", cwd=tmp_path).returncode == 0
    latest = (tmp_path / "runs" / "latest").readlink()
    assert concur("run", "job.jsonl", *NOBODY, "--no-live", cwd=tmp_path).returncode == 3
    assert (tmp_path / "runs" / "latest").readlink() == latest


def test_one_that_never_begins_leaves_the_run_as_it_was(tmp_path):
    ran(tmp_path)
    write_job(tmp_path, count=5)
    before = files(tmp_path)
    refused = resumed(tmp_path, *NOBODY, "--on-exit", "touch told", code=3)
    assert refused.stdout == ""
    assert "http://127.0.0.1:9 cannot be reached" in refused.stderr
    assert files(tmp_path) == before
    assert not (tmp_path / "told").exists()
    resumed(tmp_path)
    assert summary(tmp_path)["statuses"] == {"completed": 5}


def test_where_nothing_is_left_no_engine_is_needed_and_nothing_changes_but_what_is_missing(tmp_path):
    ran(tmp_path)
    before = files(tmp_path)
    (tmp_path / "out" / "results.parquet").unlink()
    done = resumed(tmp_path, *NOBODY, "--on-exit", "touch told")
    assert "note: nothing was left to run: all 3 rollouts have ended\n" in done.stderr
    assert "3 of 3 ended: completed 3" in done.stdout
    assert files(tmp_path) == before
    assert not (tmp_path / "told").exists()


def test_lines_that_are_written_no_longer_are_told_of(tmp_path):
    ran(tmp_path, "--output-format", "jsonl")
    write_job(tmp_path, count=5)
    lines = tmp_path / "out" / "results.jsonl"
    before = lines.read_text()
    told = "note: out/results.jsonl is older than these results, which are in results.parquet alone; remove it, or write it anew by: "
    assert told in resumed(tmp_path, "--output-format", "parquet").stderr
    assert lines.read_text() == before
    assert "results.jsonl" not in resumed(tmp_path, "--output-format", "jsonl").stderr
    assert lines.read_text().count("\n") == 5
    assert told in resumed(tmp_path).stderr
    lines.unlink()
    assert "results.jsonl" not in resumed(tmp_path).stderr


def test_where_nothing_is_left_the_exit_code_is_that_of_the_results(tmp_path):
    ran(tmp_path, script=TOO_SHORT, code=1)
    assert "; --retry-failed tries the 3 that failed again" in resumed(tmp_path, *NOBODY, code=1).stderr
    resumed(tmp_path, *NOBODY, "--fail-on-error", "3")
    resumed(tmp_path, *NOBODY, "--retry-failed", code=3)
    resumed(tmp_path, "--retry-failed", code=1)
    assert summary(tmp_path)["segments"] == 2
    resumed(tmp_path, *NOBODY, "--retry-failed=tool", code=1)
    resumed(tmp_path, *NOBODY, "--n", "2", code=3)


def test_a_run_that_could_not_say_that_it_was_finished_says_so_then(tmp_path):
    ran(tmp_path)
    segment = tmp_path / "out" / "journal" / "000001.jsonl"
    segment.write_text("".join(segment.read_text().splitlines(keepends=True)[:-1]))  # as after a kill
    seconds = summary(tmp_path)["elapsed_s"]
    for _ in range(2):
        resumed(tmp_path, *NOBODY)
        told = summary(tmp_path)
        assert (told["ended"], told["segments"]) == ("finished", 2)
        assert told["elapsed_s"] <= seconds
    assert "is finished" in concur("status", "out", cwd=tmp_path).stdout
    assert "127.0.0.1:9" not in (tmp_path / "out" / "config.json").read_text()


def test_on_a_full_disk_the_advice_is_to_go_on(tmp_path):
    ran(tmp_path)
    write_job(tmp_path, count=5)
    full = "trap '' XFSZ; ulimit -f 0; exec \"$@\""  # no file may grow
    refused = subprocess.run(
        ["sh", "-c", full, "sh", *CONCUR, "resume", "out"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.endswith("; mend that, and give the same command again\n")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda whole: b"", "job.index: is not a job index of this version of concur"),
        (lambda whole: whole.replace(b"index 1", b"index 0"), "job.index: is not a job index of this version of concur"),
        (lambda whole: whole[:-10], "job.index:4: the job index is broken here"),
        (lambda whole: whole.replace(b"[", b"\0", 1), "job.index:2: the job index is broken here"),
    ],
)
def test_a_damaged_job_index_is_made_anew_as_the_message_says(damage, told, tmp_path):
    ran(tmp_path)
    index, segment = tmp_path / "out" / "job.index", tmp_path / "out" / "journal" / "000001.jsonl"
    whole = index.read_bytes()
    index.write_bytes(damage(whole))
    lines = segment.read_text().splitlines(keepends=True)
    first_end = next(number for number, line in enumerate(lines, 1) if "rollout_finished" in line)
    segment.write_text("".join(lines[:first_end]))
    before = files(tmp_path)
    said = resumed(tmp_path, code=2).stderr
    assert said.startswith(f"concur: out/{told}; remove that file (`concur resume` makes it anew from the job files")
    assert files(tmp_path) == before
    index.unlink()
    assert "3 of 3 ended: completed 3" in resumed(tmp_path).stdout
    assert index.read_bytes() == whole


TOOLS = """
from concur_batch.toolbox import tool

@tool
def look(place: str) -> str:
    \"""Look at a place.\"""
    return "nothing"

@tool
def wait() -> str:
    \"""Wait a while.\"""
    return "done"
"""


def noted(folder, tools, count, *more):
    """What resume says of tools when they are so, and the job has so many rows."""
    (folder / "tools.py").write_text(tools)
    write_job(folder, count)
    said = resumed(folder, *more).stderr
    return [line.removeprefix("note: ") for line in said.splitlines() if "tools are" in line]


def test_tools_that_changed_are_named_once_and_the_run_goes_on(tmp_path):
    (tmp_path / "tools.py").write_text(TOOLS)
    ran(tmp_path, "--tools", "tools.py")
    assert noted(tmp_path, TOOLS, 4) == []
    assert noted(tmp_path, TOOLS.replace('"nothing"', '"a tree"'), 5) == []
    changed = TOOLS.replace("Look at", "Describe").replace("wait() ->", "wait(seconds: float) ->")
    assert noted(tmp_path, changed, 5) == []  # nothing was left to run
    (told,) = noted(tmp_path, changed, 6)
    assert told.startswith(
        "tools are no longer as the model saw them before: look (description changed), wait (arguments changed); "
    )
    assert noted(tmp_path, changed, 7) == []
    (told,) = noted(tmp_path, changed.replace("def wait", "def rest"), 8)
    assert "before: wait (no longer offered), rest (new); " in told
    assert summary(tmp_path)["statuses"] == {"completed": 8}


FINISH = """
@tool
def finish(text: str) -> str:
    \"""Of one's own.\"""
    raise OSError
"""


def test_a_run_begun_with_a_tool_named_finish_goes_on_with_the_built_in_one(tmp_path):
    (tmp_path / "tools.py").write_text(TOOLS)
    ran(tmp_path, "--tools", "tools.py")
    (tmp_path / "tools.py").write_text(TOOLS + FINISH)  # as an earlier version took it
    ending = [{"tool_calls": [{"name": "finish", "arguments": {"answer": "the end"}}]}]
    with (tmp_path / "job.jsonl").open("a") as job:
        job.write(json.dumps({"id": "new", "prompt": "p", "script": ending}) + "\n")
    (told,) = [line for line in resumed(tmp_path).stderr.splitlines() if "finish" in line]
    assert told.startswith(
        "note: tool `finish` of --tools: the model is shown the built-in one, and a call of it ends the task, "
    )
    assert concur("results", "out", "--open", "new#0", cwd=tmp_path).stdout.count("the end") > 0
    refused = concur("run", "job.jsonl", "--tools", "tools.py", "--out", "other", "--no-live", cwd=tmp_path)
    assert (refused.returncode, "tool `finish` would never run" in refused.stderr) == (2, True)
    exported = concur("results", "out", "--format", "chat", "--export", "chat.jsonl", cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    for line in (tmp_path / "chat.jsonl").read_text().splitlines():
        offered = [tool["function"] for tool in json.loads(line)["tools"]]
        assert [tool["name"] for tool in offered] == ["look", "wait", "finish"]
        assert offered[-1]["description"] == "End the task with this answer."


def test_a_run_that_kept_nothing_of_its_tools_goes_on_without_a_word(tmp_path):
    (tmp_path / "tools.py").write_text(TOOLS)
    ran(tmp_path, "--tools", "tools.py")
    path = tmp_path / "out" / "config.json"
    saved = json.loads(path.read_text())
    assert set(saved["tools_seen"]) == {"look", "wait"}
    del saved["tools_seen"]
    path.write_text(json.dumps(saved))
    assert noted(tmp_path, TOOLS.replace("Look at", "Describe"), 4) == []
