"""A run directory of which a part is lost: what each command that looks at it says, and that it leads on."""

import shutil

import pytest
from forked import concur

from concur_batch.cli.look.onlooker import Onlooker

JOB = '{"id": "a", "prompt": "x", "script": ["done"]}\n'
WITHOUT_RESULTS = ("results.parquet", "summary.json")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a whole run and a whole simulation."""
    folder = tmp_path_factory.mktemp("half")
    (folder / "job.jsonl").write_text(JOB)
    assert concur("run", "job.jsonl", "--out", "run", "--no-live", cwd=folder).returncode == 0
    assert concur("simulate", "--agents", "2", "--out", "simulation", cwd=folder).returncode == 0
    return folder


def half(runs, tmp_path, kind, *lost, journal=None):
    """A copy without what is lost, named `run`. `journal`: what becomes of its segment."""
    place = shutil.copytree(runs / kind, tmp_path / "run")
    (place / "lock").unlink()
    for name in lost:
        shutil.rmtree(place / name) if (place / name).is_dir() else (place / name).unlink()
    if journal is not None:
        segment = place / "journal" / "000001.jsonl"
        segment.write_text(journal(segment.read_text()))
    return place


def empty(_):
    return ""


def torn(text):
    return text[:20]


def told(command, tmp_path, code):
    ran = concur(*command.split(), "run", cwd=tmp_path)
    assert ran.returncode == code, ran.stderr
    if code:
        assert ran.stdout == ""
        assert ran.stderr.count("\n") == 1
        return ran.stderr.removeprefix("concur: ").strip()
    return " ".join(ran.stdout.split())


@pytest.mark.parametrize("change", [{}, {"journal": empty}, {"journal": torn}])
def test_a_run_without_a_record_can_be_begun(runs, tmp_path, change):
    half(runs, tmp_path, "run", *WITHOUT_RESULTS, *(() if change else ("journal",)), **change)
    assert told("watch --once", tmp_path, 2) == "run: has not begun; go on with: concur resume run"
    assert told("status", tmp_path, 0) == "run run has not begun next concur resume run"
    assert "1 of 1 ended" in told("resume --no-live", tmp_path, 0)
    assert "run run is finished" in told("status", tmp_path, 0)


@pytest.mark.parametrize("change", [{}, {"journal": empty}])
def test_of_one_that_has_lost_its_journal_the_results_are_left(runs, tmp_path, change):
    half(runs, tmp_path, "run", *(() if change else ("journal",)), **change)
    assert told("watch --once", tmp_path, 2) == "run: has lost its journal; its results are left: concur results run"
    assert told("status", tmp_path, 0) == "run run has lost its journal results are left: concur results run"
    assert "completed" in told("results", tmp_path, 0)
    onlooker = Onlooker(tmp_path / "run")
    while onlooker.look():
        pass
    assert onlooker.remark == f"{tmp_path / 'run'} has lost its journal; its results are left: concur results {tmp_path / 'run'}"


@pytest.mark.parametrize("change", [{}, {"journal": empty}, {"journal": torn}])
def test_the_results_of_one_that_has_lost_its_journal_are_not_overwritten(runs, tmp_path, change):
    place = half(runs, tmp_path, "run", *(() if change else ("journal",)), **change)
    before = {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()}
    what = (
        "run: has lost its journal, so it cannot be gone on with; its results are left, see them by: concur results run; "
        "to run the job anew, give `concur run` another --out"
    )
    shutil.copy(runs / "job.jsonl", tmp_path)
    for command in ("resume --no-live", "resume --retry-failed", "run job.jsonl --out"):
        assert told(command, tmp_path, 2) == what
    (place / "lock").unlink()
    assert {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()} == before


def test_a_journal_that_cannot_be_read_is_not_lost(runs, tmp_path):
    place = half(runs, tmp_path, "run", journal=lambda text: f"x{text}")
    shutil.copy(runs / "job.jsonl", tmp_path)
    told_of_it = told("run job.jsonl --out", tmp_path, 2)
    assert told_of_it == "run: holds a run already; go on with it by `concur resume run`, or give another --out"
    assert told("resume", tmp_path, 2).startswith(f"{place.name}/journal/000001.jsonl:1: broken journal line")


def test_a_run_that_has_lost_a_segment_is_not_taken_for_a_younger_one(runs, tmp_path):
    place = half(runs, tmp_path, "run")
    shutil.copy(runs / "job.jsonl", tmp_path)
    (place / "journal" / "000001.jsonl").rename(place / "journal" / "000002.jsonl")
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    said = "run/journal: segment 000001.jsonl is missing, and with it what was done in it; put it back"
    for command in ("status", "watch --once", "watch --exit", "results", "results --open a", "report", "resume --no-live"):
        assert told(command, tmp_path, 2).removeprefix(f"{tmp_path}/") == said
    (place / "lock").unlink()
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def test_a_simulation_without_a_record_is_run_again(runs, tmp_path):
    half(runs, tmp_path, "simulation", *WITHOUT_RESULTS, journal=empty)
    what = "it is a simulation, which is not resumed; run `concur simulate` again"
    assert told("watch --once", tmp_path, 2) == f"run: has not begun; {what}"
    assert told("status", tmp_path, 0) == "run run has not begun; it is a simulation next run `concur simulate` again"


def test_a_run_whose_configuration_is_lost_can_be_watched_and_says_what_is_lost(runs, tmp_path):
    half(runs, tmp_path, "run", "config.json")
    lost = "run: has lost its config.json; put back what `concur run` wrote there, or start a new run"
    assert "ended: finished" in told("watch --once", tmp_path, 0)
    for command in ("status", "resume", "report"):
        assert told(command, tmp_path, 2) == lost


def test_a_journal_whose_first_line_was_taken_out_is_not_lost(runs, tmp_path):
    half(runs, tmp_path, "run", journal=lambda text: f"\0{text}")
    assert "run/journal/000001.jsonl:1: broken journal line" in told("status", tmp_path, 2)
    segment = tmp_path / "run" / "journal" / "000001.jsonl"
    segment.write_text(segment.read_text().partition("\n")[2])
    assert told("status", tmp_path, 0).startswith("run run is finished rollouts 1, of 1 task finished 1 (completed 1)")
    assert "1/1 ended (100%)" in told("watch --once", tmp_path, 0)


def test_there_is_nothing_but_a_folder(tmp_path):
    (tmp_path / "run").mkdir()
    assert told("watch --once", tmp_path, 2) == "run: no run has begun here yet; without --once it is waited for"
    assert told("status", tmp_path, 2).startswith("run: holds no run (there is no config.json); ")
