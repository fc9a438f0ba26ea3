"""`concur resume`: what it leaves as it was, and what it says."""

import json

from forked import concur

NOBODY = ("--engine", "http://127.0.0.1:9", "--set", "engine.start_wait_s=0")


def write_job(folder, count, script=("done",)):
    rows = [{"id": f"t{i}", "prompt": "p", "script": list(script)} for i in range(count)]
    (folder / "job.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def ran(folder, *more, count=3, code=0):
    write_job(folder, count)
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
