"""`concur report` as a user runs it."""

import json
import os

import pytest
from forked import concur
from report_runs import hostile, ordinary, write_run


def report(*arguments, cwd, browser="false"):
    return concur("report", *arguments, cwd=cwd, env={**os.environ, "BROWSER": browser})


def test_one_run_prints_a_summary_and_writes_beside_it(tmp_path):
    write_run(tmp_path / "first", ordinary())
    done = report("first", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "6 of 6 ended: completed 4, error 2" in done.stdout
    assert "first/report.html (" in done.stdout.splitlines()[-1]
    assert (tmp_path / "first/report.html").stat().st_size < 8_000_000
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == ["config.json", "journal", "report.html"]


def test_several_runs_are_compared_in_the_current_directory(tmp_path):
    write_run(tmp_path / "a/run", ordinary(3))
    write_run(tmp_path / "b/run", ordinary(6))
    done = report("a/run", "b/run", cwd=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "report.html").is_file()
    assert "a/run" in done.stdout
    assert "x2.00" in done.stdout


def test_the_same_run_twice_and_runs_of_one_name_are_told_apart(tmp_path):
    write_run(tmp_path / "a/run", ordinary(1))
    write_run(tmp_path / "b/run", ordinary(1))

    def names(*runs):
        return [run["name"] for run in json.loads(report(*runs, "--json", cwd=tmp_path).stdout)["runs"]]

    assert names("a/run", "b/run") == ["a/run", "b/run"]
    assert names("a/run", "a/run") == ["run (1)", "run (2)"]


def test_json_is_one_object_and_writes_a_page_only_where_asked(tmp_path):
    write_run(tmp_path / "first", ordinary())
    told = json.loads(report("first", "--json", cwd=tmp_path).stdout)
    assert told["html"] is None
    assert [run["run"] for run in told["runs"]] == ["first"]
    assert told["runs"][0]["statuses"] == {"completed": 4, "error": 2}
    assert not (tmp_path / "first/report.html").exists()
    assert json.loads(report("first", "--json", "--html", "x.html", cwd=tmp_path).stdout)["html"] == "x.html"
    assert (tmp_path / "x.html").is_file()


def test_the_page_is_shown_where_asked(tmp_path):
    write_run(tmp_path / "first", ordinary(1))
    browser = tmp_path / "browser"
    browser.write_text('#!/bin/sh\necho "$1" > shown\n')
    browser.chmod(0o755)
    done = report("first", "--json", "--open", cwd=tmp_path, browser=f"{browser} %s")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["html"] == "first/report.html"
    assert (tmp_path / "shown").read_text().strip() == (tmp_path / "first/report.html").as_uri()


@pytest.mark.parametrize("place", ["x.html", "first/report.html", "report.html"])
def test_the_page_replaces_nothing_but_a_page_unasked(tmp_path, place):
    write_run(tmp_path / "first", ordinary(1))
    arguments = {"x.html": ["first", "--html", "x.html"], "report.html": ["first", "first"]}.get(place, ["first"])
    there = tmp_path / place
    there.write_text("<!doctype html>mine")
    refused = report(*arguments, cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        f"concur: {place}: exists and is no report of ours; add --force to replace it, or another name by --html FILE\n"
    )
    assert there.read_text() == "<!doctype html>mine"
    assert report(*arguments, "--force", cwd=tmp_path).returncode == 0
    made = there.stat().st_mtime_ns
    assert report(*arguments, cwd=tmp_path).returncode == 0  # a page of ours
    assert there.stat().st_mtime_ns > made


def test_where_the_place_is_a_link_its_target_is_written(tmp_path):
    write_run(tmp_path / "first", ordinary(1))
    (tmp_path / "www").mkdir()
    link = tmp_path / "link.html"
    link.symlink_to("www/page.html")
    for _ in range(2):  # which is not there yet, and then a page
        done = report("first", "--html", "link.html", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert (link.is_symlink(), link.read_text()[:15]) == (True, "<!doctype html>")
    assert [path.name for path in (tmp_path / "www").iterdir()] == ["page.html"]


def test_the_page_goes_to_standard_output(tmp_path):
    write_run(tmp_path / "first", ordinary(1))
    done = report("first", "--html", "-", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (done.stdout[:15], done.stdout[-8:]) == ("<!doctype html>", "</html>\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first"]
    assert not (tmp_path / "first/report.html").exists()


def test_beside_a_process_that_writes_the_last_line_may_be_torn(tmp_path):
    run = write_run(tmp_path / "first", ordinary()[:-9])
    with next((run / "journal").iterdir()).open("ab") as journal:
        journal.write(b'{"kind":"reply_rec')
    done = report("first", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("first  broke off")


def test_an_empty_run_and_a_hostile_one(tmp_path):
    write_run(tmp_path / "empty", [])
    write_run(tmp_path / "hostile", hostile())
    done = report("empty", "hostile", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Nothing has been recorded yet." in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere: holds no run (there is no config.json); give the directory that `concur run` named"),
        (
            ["first", "--html", "no/such/place.html"],
            "no/such/place.html could not be written (No such file or directory); name a place",
        ),
        (["first", "--html", ""], "names no file; give one"),
        (["first", "--html", "first"], "first: is no regular file; name another place"),
        (["first", "--html", "/dev/null"], "/dev/null: is no regular file"),
        (["first", "--html", "-", "--json"], "--html - and --json: do not go together; leave one out"),
        (["first", "--html", "first/config.json", "--force"], "first/config.json: is a file of the run's own"),
        (["first", "--html", "first/results.parquet"], "first/results.parquet: is a file of the run's own"),
        (["first", "--html", "loop", "--force"], "loop: is a link that leads back to itself; name another place"),
        (["first", "loop"], "loop/config.json: cannot be read (Too many levels of symbolic links)"),
        (["loop"], "loop/config.json: cannot be read (Too many levels of symbolic links)"),
        (["first"] * 13, "13 runs: at most 12 fit on one page; name fewer"),
        (["broken"], "broken journal line"),
        (["odd"], "odd/config.json: is no JSON object"),
        (["first", "--open"], "first/report.html: is written, but no browser could be started"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, arguments, said):
    write_run(tmp_path / "first", ordinary(1))
    broken = write_run(tmp_path / "broken", ordinary(1))
    with next((broken / "journal").iterdir()).open("ab") as journal:
        journal.write(b"{\n")
    (write_run(tmp_path / "odd", []) / "config.json").write_text("[]")
    (tmp_path / "loop").symlink_to("loop")
    done = report(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("concur: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
