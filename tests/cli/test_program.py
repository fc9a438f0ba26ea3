"""The program as a user runs it: a process of its own, on the embedded engine or a server that misbehaves."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from forked import CONCUR, PIPE, Program, concur


def write_job(path, count=6, steps=1, command="echo $((6 * 7))", **more):
    turns = [{"tool_calls": [{"name": "shell", "arguments": {"command": command}}]}] * steps
    rows = [
        {"id": f"t{i}", "prompt": "What is 6 * 7?", "tools": ["shell"], "script": [*turns, f"42 ({i})"], **more}
        for i in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def results(run_dir):
    return pq.read_table(run_dir / "results.parquet").to_pylist()


def one_sentence(result, code, *words):
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


def test_a_batch_from_end_to_end(tmp_path):
    job = write_job(tmp_path / "job.jsonl", n=2, metadata={"split": "train"})
    ran = concur("run", job, "--out", "out", "--no-live", "--output-format", "openai", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "replays each task's script" in ran.stderr
    assert "12 of 12 ended: completed 12" in ran.stdout
    rows = results(tmp_path / "out")
    assert [(row["id"], row["rollout"]) for row in rows] == [(f"t{i}", k) for i in range(6) for k in range(2)]
    assert {row["status"] for row in rows} == {"completed"}
    assert [row["seed"] for row in rows[:2]] == [0, 1]
    transcript = json.loads(rows[3]["messages"])
    assert [message["role"] for message in transcript] == ["user", "assistant", "tool", "assistant"]
    assert transcript[2]["content"].strip() == "42"
    assert len((tmp_path / "out" / "results.jsonl").read_text().splitlines()) == 12
    status = json.loads(concur("status", "out", "--json", cwd=tmp_path).stdout)
    assert (status["finished"], status["live"], status["waiting"]) == (12, False, 0)
    assert "12" in concur("status", "out", cwd=tmp_path, columns=60).stdout
    again = concur("resume", "out", "--no-live", cwd=tmp_path)
    assert again.returncode == 0
    assert results(tmp_path / "out") == rows


def test_the_example_of_a_script_in_the_docs_runs_as_it_stands(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "job-format.md").read_text(encoding="utf-8")
    (example,) = re.findall(r'^\{"prompt"[^`]*"script"[^`]*', page, re.MULTILINE)
    (tmp_path / "job.jsonl").write_text(json.dumps(json.loads(example)) + "\n")
    ran = concur("run", "job.jsonl", "--out", "out", "--no-live", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    (row,) = results(tmp_path / "out")
    assert (row["status"], row["output"], row["n_steps"]) == ("completed", "There are 42.", 2)


def test_parquet_globs_and_standard_input(tmp_path):
    script = json.dumps(["done"])
    table = pa.table({"id": ["p1", "p2"], "prompt": ["a", "b"], "script": [script, script]})
    pq.write_table(table, tmp_path / "a.parquet")
    write_job(tmp_path / "b.jsonl", count=2)
    assert concur("run", "*.parquet", "b.jsonl", "--out", "out", "--no-live", cwd=tmp_path).returncode == 0
    assert [row["id"] for row in results(tmp_path / "out")] == ["p1", "p2", "t0", "t1"]
    piped = concur("run", "-", "--out", "piped", "--no-live", cwd=tmp_path, stdin=(tmp_path / "b.jsonl").read_text())
    assert piped.returncode == 0, piped.stderr
    assert concur("resume", "piped", "--no-live", cwd=tmp_path).returncode == 0


def test_a_custom_agent_with_rows_of_its_own_resumes(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from pydantic import BaseModel\n"
        "from concur_batch.agent import agent\n"
        "class Row(BaseModel):\n    question: str\n"
        "@agent(schema=Row)\n"
        "async def solve(task, ctx):\n"
        "    messages = [{'role': 'user', 'content': task.fields['question']}]\n"
        "    messages.append((await ctx.complete(messages)).message)\n"
        "    seen = await ctx.call('write_file', {'path': 'a.txt', 'content': str(ctx.random.random())})\n"
        "    messages.append(seen.message)\n"
        "    return (await ctx.complete(messages)).message['content']\n"
    )
    job = tmp_path / "job.jsonl"
    job.write_text('{"id": "q", "question": "why?", "script": ["hm", "because"]}\n{"id": "r", "question": 3, "script": ["y"]}\n')
    one_sentence(concur("validate", job, "--agent", "mine.py:solve", cwd=tmp_path), 2, "job.jsonl:2", "question")
    job.write_text('{"id": "q", "question": "why?", "script": ["hm", "because"]}\n')
    assert concur("run", job, "--agent", "mine.py:solve", "--out", "out", "--no-live", cwd=tmp_path).returncode == 0
    assert results(tmp_path / "out")[0]["output"] == "because"


def test_the_summary_names_the_log_that_has_the_traceback_of_a_failed_agent(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from concur_batch.agent import agent\n"
        "@agent\n"
        "async def solve(task, ctx):\n"
        "    return {} if task.id == 't0' else {}['answer']\n"
    )
    write_job(tmp_path / "job.jsonl", count=2)
    more = ("--agent", "mine.py:solve", "--no-live", "--output-format", "jsonl")
    ran = concur("run", "job.jsonl", *more, "--out", "out", cwd=tmp_path)
    assert "agent 2 (see out/failures.jsonl, tracebacks in out/logs/000001.log)" in ran.stdout
    assert "KeyError: 'answer'" in (tmp_path / "out" / "logs" / "000001.log").read_text()
    assert ran.stdout.endswith("out/results.jsonl (and results.parquet)\n")
    plain = concur("run", "job.jsonl", *more, "--limit", "1", "--out", "plain", cwd=tmp_path)
    assert "agent 1 (see plain/failures.jsonl)\n" in plain.stdout


def start(*arguments, cwd):
    return Program(*arguments, cwd=cwd, stdout=PIPE, stderr=PIPE)


def wait_for(path, text, process):
    for _ in range(600):
        if any(text in file.read_text() for file in path.glob("*.jsonl")):
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError(f"{text} did not come")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_drains_and_resume_finishes(tmp_path, number, code):
    job = write_job(tmp_path / "job.jsonl", count=30, steps=6)
    process = start("run", job, "--out", "out", "--no-live", cwd=tmp_path)
    wait_for(tmp_path / "out" / "journal", "tool_finished", process)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == code
    assert "concur resume out" in told
    journal = (tmp_path / "out" / "journal" / "000001.jsonl").read_text()
    assert '"cause":"drained"' in journal.splitlines()[-1]
    assert len(results(tmp_path / "out")) < 30
    assert concur("resume", "out", "--no-live", cwd=tmp_path).returncode == 0
    assert len(results(tmp_path / "out")) == 30
    replies = [json.loads(line) for path in (tmp_path / "out" / "journal").glob("*.jsonl") for line in path.open()]
    assert sum(record["kind"] == "reply_received" for record in replies) == 30 * 7


def test_status_beside_a_live_run_and_a_second_writer_is_refused(tmp_path):
    job = write_job(tmp_path / "job.jsonl", count=8, steps=8, command="sleep 0.4")
    process = start("run", job, "--out", "out", "--no-live", cwd=tmp_path)
    wait_for(tmp_path / "out" / "journal", "tool_finished", process)
    status = json.loads(concur("status", "out", "--json", cwd=tmp_path).stdout)
    assert status["live"]
    assert status["running"] > 0
    one_sentence(concur("resume", "out", cwd=tmp_path), 2, f"process {process.pid}")
    process.kill()
    process.communicate()
    assert json.loads(concur("status", "out", "--json", cwd=tmp_path).stdout)["live"] is False
    assert concur("resume", "out", "--no-live", cwd=tmp_path).returncode == 0
    assert len(results(tmp_path / "out")) == 8


def test_failed_rollouts_make_the_exit_code_one_unless_allowed(tmp_path):
    job = tmp_path / "job.jsonl"
    short = '{"id": "short", "prompt": "x", "script": [{"tool_calls": [{"name": "shell", "arguments": {"command": "true"}}]}]}'
    job.write_text(short + '\n{"id": "ok", "prompt": "x", "script": ["y"]}\n')
    failed = concur("run", job, "--out", "out", "--no-live", cwd=tmp_path)
    assert failed.returncode == 1
    assert json.loads((tmp_path / "out" / "failures.jsonl").read_text())["id"] == "short"
    assert concur("run", job, "--out", "out2", "--no-live", "--fail-on-error", "50%", cwd=tmp_path).returncode == 0
    retried = concur("resume", "out", "--no-live", "--retry-failed", cwd=tmp_path)
    assert retried.returncode == 1
    assert [row["attempt"] for row in results(tmp_path / "out")] == [2, 1]
    assert "attempts" not in retried.stderr
    assert "next" in concur("status", "out", cwd=tmp_path).stdout
    spent = concur("resume", "out", "--no-live", "--retry-failed", "--set", "run.max_attempts=2", cwd=tmp_path)
    assert "note: 1 failed rollout has had its 2 attempts; --set run.max_attempts=3 allows one more" in spent.stderr
    assert "attempts" not in concur("resume", "out", "--no-live", "--retry-failed=tool", cwd=tmp_path).stderr
    assert [row["attempt"] for row in results(tmp_path / "out")] == [2, 1]
    assert concur("resume", "out", "--no-live", "--retry-failed", cwd=tmp_path).returncode == 1
    assert [row["attempt"] for row in results(tmp_path / "out")] == [3, 1]
    assert json.loads(concur("status", "out", "--json", cwd=tmp_path).stdout)["next_command"] is None


def test_a_changed_job_is_refused_and_added_rows_are_run(tmp_path):
    job = write_job(tmp_path / "job.jsonl", count=3)
    assert concur("run", job, "--out", "out", "--no-live", cwd=tmp_path).returncode == 0
    write_job(job, count=5)
    assert concur("resume", "out", "--no-live", cwd=tmp_path).returncode == 0
    assert len(results(tmp_path / "out")) == 5
    job.write_text(job.read_text().replace("What is 6 * 7?", "What is 7 * 7?", 1))
    one_sentence(concur("resume", "out", cwd=tmp_path), 2, "t0", "content changed")


def test_what_the_model_sees_cannot_change_on_resume(tmp_path):
    job = write_job(tmp_path / "job.jsonl", count=1)
    assert concur("run", job, "--out", "out", "--no-live", cwd=tmp_path).returncode == 0
    for given in ("sampling.temperature=1", "run.out=other", "agent.plan_first=yes"):
        refused = concur("resume", "out", "--set", given, cwd=tmp_path)
        one_sentence(refused, 2, f"{given.partition('=')[0]}: cannot change", "start a new run")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["config"]["run"]["out"] == "out"
    assert concur("resume", "out", "--no-live", "--set", "run.output_format=jsonl", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("key", ["sampling.api_key", "sampling.extra_body.api_key"])
def test_a_secret_is_given_again_on_resume_and_nothing_else_changes(tmp_path, key):
    job = write_job(tmp_path / "job.jsonl", count=1)
    given = ["--set", f"{key}=abc", "--set", "sampling.prompt_cache_key=p"]
    assert concur("run", job, "--out", "out", "--no-live", *given, cwd=tmp_path).returncode == 0
    assert '"abc"' not in (tmp_path / "out" / "config.json").read_text()
    one_sentence(concur("resume", "out", cwd=tmp_path), 2, f"config.json: {key} was saved without its secret", f"--set {key}=...")
    again = concur("resume", "out", "--no-live", "--set", f"{key}=abc", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    changed = concur("resume", "out", "--set", f"{key}=abc", "--set", "sampling.prompt_cache_key=q", cwd=tmp_path)
    one_sentence(changed, 2, "sampling.prompt_cache_key: cannot change")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "is no JSON object"),
        ("{}", "jobs should be the list of the job files"),
        ('{"jobs": "job.jsonl", "config": {}}', "jobs should be the list of the job files"),
        ('{"jobs": ["job.jsonl"], "config": []}', "config should be an object"),
        ('{"jobs": ["job.jsonl"], "config": {"sources": []}}', "config should be an object, and its sources another"),
        ("{", "is no sound JSON ("),
        ("[" * 100_000, "is no sound JSON ("),
    ],
)
@pytest.mark.parametrize("command", ["status", "resume"])
def test_another_file_in_place_of_the_configuration_is_one_sentence(tmp_path, command, content, said):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_text(content)
    mend = "; put back what `concur run` wrote there, or start a new run"
    one_sentence(concur(command, "out", cwd=tmp_path), 2, f"concur: out/config.json: {said}", mend)


BAD_FILES = {
    "empty.jsonl": b"",
    "digits.jsonl": b'{"prompt": "x", "n": ' + b"9" * 5000 + b"}",
    "broken.jsonl": b'{"prompt": "x", "script": ["y"]}\n' * 6 + b'{"prompt": \n',
    "both.jsonl": b'{"prompt": "x", "messages": [{"role": "user", "content": "y"}], "script": ["y"]}\n',
    "tool.jsonl": b'{"prompt": "x", "tools": ["shel"], "script": ["y"]}\n',
    "twice.jsonl": b'{"id": "a", "prompt": "x", "script": ["y"]}\n{"id": "a", "prompt": "y", "script": ["y"]}\n',
    "bytes.jsonl": b'{"prompt": "\xff"}\n',
    "noscript.jsonl": b'{"prompt": "x"}\n',
    "syntax.py": b"def f(:\n",
    "fine.jsonl": b'{"prompt": "x", "script": ["y"]}\n',
    "taken/file": b"",
}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.jsonl"], ["missing.jsonl", "no such file"]),
        ([""], ["a job file's name is empty"]),
        (["digits.jsonl"], ["digits.jsonl:1: holds a number of more than 4,300 digits"]),
        (["empty.jsonl"], ["empty.jsonl", "is empty"]),
        (["broken.jsonl"], ["broken.jsonl:7"]),
        (["wrong.parquet"], ["wrong.parquet", "prompt"]),
        (["both.jsonl"], ["both.jsonl:1: prompt", "exactly one"]),
        (["tool.jsonl"], ["tool.jsonl:1: tools.0", "shell"]),
        (["twice.jsonl"], ["twice.jsonl:2: id", "twice.jsonl:1"]),
        (["bytes.jsonl"], ["bytes.jsonl:1"]),
        (["noscript.jsonl"], ["noscript.jsonl:1", "--engine"]),
        (["noscript.jsonl", "--engine", "http://127.0.0.1:1", "--engine", "sim"], ["noscript.jsonl:1: has no `script`"]),
        (["fine.jsonl", "--tools", "syntax.py"], ["syntax.py:1"]),
        (["fine.jsonl", "--tools", "loop.py"], ["loop.py: tools file cannot be read"]),
        (["fine.jsonl", "--agent", "loop.py:solve"], ["loop.py"]),
        (["fine.jsonl", "--history", "loop.py"], ["loop.py/config.json: cannot be read"]),
        (["fine.jsonl", "--engine", "sim:loop.toml"], ["loop.toml: cannot be read"]),
        (["fine.jsonl", "--agent", "nowhere:solve"], ["nowhere"]),
        (["fine.jsonl", "--controller", "amid"], ["did you mean aimd"]),
        (["fine.jsonl", "--engine", "localhost:1"], ["http://"]),
        (
            ["fine.jsonl", "--engine", "http://127.0.0.1:1", "--engine", "http://127.0.0.1:1/v1"],
            ["/v1: is http://127.0.0.1:1 once more"],
        ),
        (["fine.jsonl", "--max-agents", "x"], ["'--max-agents': should be a whole number, not 'x'"]),
        (["fine.jsonl", "--set", "controler.alpha=3"], ["did you mean controller.alpha?"]),
        (["fine.jsonl", "--out", "taken"], ["taken", "--out"]),
        (["fine.jsonl", "--out", "fine.jsonl"], ["is a file"]),
        (["fine.jsonl", "--out", "/proc/nowhere"], ["cannot be created"]),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(tmp_path, arguments, words):
    for name, content in BAD_FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    pq.write_table(pa.table({"prompt": [1, 2]}), tmp_path / "wrong.parquet")
    for name in ("loop.py", "loop.toml"):
        (tmp_path / name).symlink_to(name)
    before = sorted(tmp_path.rglob("*"))
    one_sentence(concur("run", *arguments, "--no-live", cwd=tmp_path), 2, *words)
    after = [path for path in sorted(tmp_path.rglob("*")) if "__pycache__" not in path.parts and path != tmp_path / "runs"]
    assert after == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["validate", "job.jsonl"],
        ["run", "job.jsonl", "--out", "second", "--no-live"],
        ["resume", "out", "--no-live"],
        ["status", "out"],
        ["watch", "out", "--once"],
        ["results", "out", "--open", "t0"],
        ["report", "out", "--json"],
        ["simulate", "--agents", "3"],
    ],
)
def test_each_command_imports_what_it_needs(tmp_path, one_run, arguments):
    """Elsewhere programs are forked from one that has imported everything."""
    shutil.copytree(one_run, tmp_path, dirs_exist_ok=True)
    done = subprocess.run([*CONCUR, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.fixture(scope="module")
def one_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one_run")
    write_job(folder / "job.jsonl", count=1)
    assert concur("run", "job.jsonl", "--out", "out", "--no-live", cwd=folder).returncode == 0
    return folder


def test_help_imports_nothing_heavy():
    code = "import sys; import concur_batch.cli.main; print([m for m in ('pyarrow', 'openai', 'pydantic', 'aiohttp') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_fault_of_ours_is_one_sentence_with_the_place(tmp_path):
    code = (
        "import sys, concur_batch.cli.run.batch as b, concur_batch.cli.main as m\n"
        "def start(*_): raise ZeroDivisionError('oops')\n"
        "b.start = start; sys.argv = ['concur', 'run', 'x.jsonl']; m.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    one_sentence(done, 4, "internal fault", "ZeroDivisionError: oops (<string>:2)")


@pytest.mark.parametrize("logged", ["pass", "s._log.warning('asks')"])
def test_one_before_a_run_has_begun_leaves_no_directory_and_names_no_log(logged, tmp_path):
    write_job(tmp_path / "job.jsonl", count=1)
    code = (
        "import sys, concur_batch.cli.run.segment as s, concur_batch.cli.main as m\n"
        f"async def probe_all(*_): {logged}; raise ZeroDivisionError('oops')\n"
        "s.probe_all = probe_all; sys.argv = ['concur', 'run', 'job.jsonl', '--out', 'out']; m.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    one_sentence(done, 4, "internal fault", "ZeroDivisionError: oops (<string>:2)")
    assert "logs/" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_hold_all_characters_ends_no_run(tmp_path):
    code = "import sys, concur_batch.cli.main as m; sys.argv = ['concur', '--version']\n"
    code += "import typer; typer.echo = lambda text, err=False: print('a \\u2192 b'); m.main()"
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout == "a ? b\n"


def test_versions_agree():
    from concur_batch import __version__

    assert concur("--version", cwd=Path.cwd()).stdout.strip() == f"concur {__version__}"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "engine: none was named, so the embedded one replays each task's script"),
        (("-e", "sim"), "engine: sim is embedded and simulates qwen3-8b@h100x1: it replays each task's script"),
        (("-e", "sim:qwen3-32b@h100x4", "-e", "sim"), "engine: sim is embedded and simulates qwen3-8b@h100x1: it replays"),
    ],
)
def test_what_is_said_of_the_embedded_engine_depends_on_whether_it_was_named(tmp_path, more, said):
    job = write_job(tmp_path / "job.jsonl", count=1, steps=0)
    ran = concur("run", job, "--out", "out", "--no-live", *more, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert said in ran.stderr
    assert ("none was named" in ran.stderr) == (not more)
