"""`concur simulate`, in process: options in, what is printed and written out."""

import json
import signal
import subprocess
import time

import pytest
from forked import CONCUR

from concur_batch.cli.look.status import print_status
from concur_batch.cli.run.batch import take_up
from concur_batch.cli.trial import simulate
from concur_batch.errors import ConcurError, InputError, RunDirectoryError
from concur_batch.journal.reader import JournalReader
from concur_batch.records import ReplyReceived, RolloutFinished, SegmentFinished

KEYS = [
    "controller",
    "profile",
    "pool_tokens",
    "agents",
    "steps",
    "makespan_s",
    "generated_tokens",
    "prompt_tokens",
    "cached_tokens",
    "recomputed_tokens",
    "hit_rate",
    "miss_rate",
    "lower_bound_s",
    "agent_p50_s",
    "agent_p95_s",
    "agent_p99_s",
    "done_p50_s",
    "done_p95_s",
    "ttft_p50_s",
    "ttft_p99_s",
    "retractions",
    "paused_max_s",
    "wall_s",
]


def run(
    trace=None,
    *,
    agents=6,
    profile="qwen3-8b@h100x1",
    sets=(),
    config=None,
    as_json=True,
    shared=None,
    tokens=1.0,
    times=1.0,
    **options,
):
    given = {"engine.urls": [f"sim:{profile}"], **{key.replace("__", "."): value for key, value in options.items()}}
    trace = None if trace is None else str(trace)
    load = simulate.Load(trace=trace, agents=agents, shared_tokens=shared, token_scale=tokens, time_scale=times)
    return simulate.start(load, given, list(sets), config, as_json=as_json)


def figures(capsys, *arguments, **options):
    assert run(*arguments, **options) == 0
    out, err = capsys.readouterr()
    assert (out.count("\n"), err) == (1, "")
    return json.loads(out)


def row(prompt=5000, turns=3, **more):
    return {
        "input_prompt_length": prompt,
        "num_turns": turns,
        "assistant_response_length": [100] * turns,
        "tool_call_output_length": [300] * turns,
        "tool_call_latency": [0.5] * turns,
        "final_assistant_response_length": 50,
        **more,
    }


def trace_file(folder, *rows):
    path = folder / "trace.jsonl"
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in rows))
    return path


def test_prints_one_object_with_all_figures(capsys):
    found = figures(capsys, controller__name="aimd")
    assert set(KEYS) <= set(found)
    assert (found["controller"], found["profile"], found["agents"]) == ("aimd", "qwen3-8b@h100x1", 6)
    assert found["makespan_s"] >= found["lower_bound_s"] > 0
    assert found["hit_rate"] == round(found["cached_tokens"] / found["prompt_tokens"], 6)
    assert found["agent_p50_s"] <= found["agent_p95_s"] <= found["agent_p99_s"] <= found["makespan_s"]
    assert 0 < found["ttft_p50_s"] <= found["ttft_p99_s"]


def test_prints_a_table_and_a_timeline_that_fit_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    run(as_json=False, controller__name="fixed:2")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    for word in ("fixed:2 on qwen3-8b@h100x1", "makespan", "lower bound", "hit rate", "window"):
        assert word in text


def test_a_recorded_trace_is_replayed_with_its_lengths(capsys, tmp_path):
    found = figures(capsys, trace_file(tmp_path, row(), row(turns=1)), agents=None, controller__name="off")
    assert (found["agents"], found["steps"], found["generated_tokens"]) == (2, 6, 3 * 100 + 50 + 100 + 50)
    assert found["prompt_tokens"] == sum(5000 + 400 * i for i in range(4)) + 5000 + 5400


def test_fewer_rows_than_agents_come_again_as_others(capsys, tmp_path):
    out = tmp_path / "run"
    found = figures(capsys, trace_file(tmp_path, row(), row(turns=1)), agents=5, controller__name="off", run__out=str(out))
    ids = {x.rollout for x in JournalReader(out).records() if isinstance(x, RolloutFinished)}
    assert len(ids) == found["agents"] == 5
    firsts = [x for x in JournalReader(out).records() if isinstance(x, ReplyReceived) and x.step == 1]
    assert max(x.cached_tokens for x in firsts) == 4096  # they share the prefix only, not the rest of their first prompts


def test_scales_and_limits(capsys, tmp_path):
    trace = trace_file(tmp_path, row(turns=8))
    whole = figures(capsys, trace, agents=1)
    half = figures(capsys, trace, agents=1, tokens=0.5, times=0.0)
    assert half["generated_tokens"] == whole["generated_tokens"] / 2
    assert half["makespan_s"] < whole["makespan_s"] - 3.9
    short = figures(capsys, trace, agents=1, sim__context_length=6000)
    assert short["steps"] == 3  # the fourth prompt would have 6,200 tokens


def test_an_agent_that_outgrows_the_pool_ends_and_the_others_go_on(capsys, tmp_path):
    out = tmp_path / "run"
    trace = trace_file(tmp_path, row(), row(prompt=9000), row(prompt=4500, turns=20), row())
    figures(capsys, trace, agents=None, sim__pool_tokens=8000, run__out=str(out), controller__name="off")
    ended = {x.rollout: x.status for x in JournalReader(out).records() if isinstance(x, RolloutFinished)}
    assert list(ended.values()).count("completed") == 2
    assert (ended["agent-00001#0"], ended["agent-00002#0"]) == ("context_length", "context_length")


def test_the_same_seed_writes_the_same_journal(tmp_path, capsys):
    written = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        run(agents=12, run__out=str(tmp_path / name), run__seed=seed, sim__pool_tokens=60_000)
        first, *rest = (tmp_path / name / "journal" / "000001.jsonl").read_bytes().splitlines()
        assert b'"segment_started"' in first
        written.append(rest)
    assert written[0] == written[1] != written[2]


def test_the_run_directory_is_one_like_any_other(tmp_path, capsys):
    out = tmp_path / "run"
    run(run__out=str(out), controller__name="fixed:2")
    capsys.readouterr()
    assert print_status(out, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["rollouts"] == 6
    assert (out / "results.parquet").exists()
    with pytest.raises(RunDirectoryError, match="is a simulation, which is not resumed"):
        take_up(out, {}, [], retry_failed=None, take_over=False)
    with pytest.raises(RunDirectoryError, match="holds a simulation already; give another --out"):
        run(run__out=str(out))
    with pytest.raises(RunDirectoryError, match=r"cannot be a run directory \(File name too long\); give another --out"):
        run(run__out=str(tmp_path / ("x" * 300)))


def test_the_saved_configuration_tells_where_its_engines_come_from(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CONCUR_ENGINE", "http://127.0.0.1:1")  # that `run` is to have
    run(run__out=str(tmp_path / "run"), agents=2)
    saved = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert saved["engine"]["urls"] == ["sim:qwen3-8b@h100x1"]
    assert saved["sources"]["engine.urls"] == "option --profile"


def test_an_interrupted_simulation_says_so(tmp_path, capsys, monkeypatch):
    def interrupt(state):
        raise KeyboardInterrupt

    monkeypatch.setattr(simulate, "_shown", interrupt)
    out = tmp_path / "run"
    assert run(agents=64, run__out=str(out)) == 130
    assert capsys.readouterr().err == "concur: interrupted\n"
    print_status(out, as_json=False)
    assert "was stopped; it is a simulation" in " ".join(capsys.readouterr().out.split())


def test_sigterm_ends_it_as_ctrl_c_does(tmp_path):
    out = tmp_path / "run"
    command = [*CONCUR, "simulate", "--agents", "600", "--out", str(out)]
    begun = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    with begun:
        journal = out / "journal" / "000001.jsonl"
        while not (journal.exists() and "reply_received" in journal.read_text()):
            assert begun.poll() is None
            time.sleep(0.05)
        begun.send_signal(signal.SIGTERM)
        assert begun.wait(30) == 143
        assert begun.stderr.read() == "concur: interrupted\n"
    *_, last = JournalReader(out).records()
    assert (type(last), last.cause) == (SegmentFinished, "stopped")


def test_both_releases_and_a_host_tier(capsys):
    old = figures(capsys, agents=24, sim__pool_tokens=60_000, sim__server_version="0.5.8", controller__name="off")
    new = figures(capsys, agents=24, sim__pool_tokens=60_000, controller__name="off")
    tier = figures(capsys, agents=24, sim__pool_tokens=60_000, sim__host_tier=20.0, controller__name="off")
    assert old["makespan_s"] == pytest.approx(new["makespan_s"], rel=0.1)
    assert tier["hit_rate"] > 0.8
    assert new["hit_rate"] < 0.4
    assert tier["makespan_s"] < 0.9 * new["makespan_s"]


ONE_TOKEN = ["workload.least_output=1", "workload.most_output=1", "workload.output_median=1"]
WHOLE_SQUARES = """
model = "m"
pool_tokens = 100000
kv_bytes_per_token = 1000
max_running_requests = 100
chunked_prefill_size = 512
tp = 1
[cost]
prefill_per_token_s = 1e-5
prefill_per_whole_square_s = 1e-9
decode_fixed_s = 0.01
"""


@pytest.mark.parametrize(
    "options",
    [
        {"profile": "qwen3-8b@h100x8", "sets": [*ONE_TOKEN, "sim.chunked_prefill_size=65536", "workload.tool_median_s=0.001"]},
        {"profile": "mine.toml", "sets": ONE_TOKEN, "controller__name": "fixed:2"},
        {"sim__pool_tokens": 20_000},
        {"sim__context_length": 9_000},
        {"sets": ["limits.context_length=9000"]},
        {"sim__host_tier": 10.0, "sim__pool_tokens": 40_000},
    ],
)
def test_nothing_is_faster_than_the_lower_bound(options, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(WHOLE_SQUARES)
    found = figures(capsys, agents=20, **{"controller__name": "off", **options})
    assert found["makespan_s"] >= found["lower_bound_s"] > 0


def test_no_bound_where_limits_end_agents_early(capsys):
    found = figures(capsys, sets=["limits.max_steps=2"])
    assert (found["lower_bound_s"], found["statuses"]) == (None, {"max_steps": 6})


def test_sampling_that_shortens_nothing_keeps_the_bound(capsys):
    plain = figures(capsys)
    assert figures(capsys, sets=["sampling.temperature=0.7"])["lower_bound_s"] == plain["lower_bound_s"]
    assert figures(capsys, sets=['sampling.extra_body={"max_tokens": 20}'])["lower_bound_s"] is None


def test_a_configuration_made_for_run_serves_too(capsys, tmp_path):
    file = tmp_path / "concur.toml"
    file.write_text(
        "[run]\nn = 4\nshuffle = 1\nlimit = 2\n"
        '[agent]\nname = "mine:agent"\nplan_first = true\nsystem = "Hello"\n'
        '[tools]\nsources = ["mine.py"]\n'
        '[controller]\nname = "fixed:3"\n[sim]\nspeed = 20\n'
    )
    found = figures(capsys, config=file, sets=["workload.shared_tokens=0"])
    plain = figures(capsys, controller__name="fixed:3", sets=["workload.shared_tokens=0"])
    assert found | {"wall_s": 0} == plain | {"wall_s": 0}
    assert found["statuses"] == {"completed": 6}


def test_tells_how_agents_ended(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert figures(capsys, agents=2, sim__pool_tokens=4000)["statuses"] == {"context_length": 2}
    run(agents=2, sim__pool_tokens=4000, as_json=False)
    assert "context_length 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"profile": "qwen3-32@h100x4"}, r"profile 'qwen3-32@h100x4'.*qwen3-32b@h100x4"),
        ({"profile": "llama-3.1-70b@h100x1"}, r"does not fit on 1 x h100; it needs at least 4"),
        ({"controller__name": "amid"}, r"no such controller; did you mean aimd"),
        ({"controller__name": "best"}, r"no such controller; known: aimd"),
        ({"sets": ["workload.output_medium=3"]}, r"workload.output_medium: .* did you mean output_median"),
        ({"sets": ["workload.output_median=-3"]}, r"output_median"),
        ({"sets": ["workload.output_median=many"]}, r"workload.output_median: must be a number, not 'many'"),
        ({"sets": ["workload.output_sigma=nan"]}, r"workload.output_sigma: must be a number, not 'nan'"),
        ({"sets": ["workload.most_steps=1e30"]}, r"workload.most_steps: must be a whole number, not 1e\+30"),
        ({"sets": ["workload.most_steps=3"]}, r"workload.most_steps is 3; it should be at least least_steps"),
        ({"sim__pool_tokens": 3}, r"sim.pool_tokens 3: is too small"),
        ({"sets": ["sim.page_size=64", "sim.chunked_prefill_size=100"]}, r"must be a multiple of the page of 64"),
        ({"sets": ["sim.page_size=100"]}, r"sim.page_size 100: the profile's chunked_prefill_size of 8192 is no multiple"),
        ({"trace": "nothing.jsonl"}, r"nothing.jsonl: no such file"),
        ({"sets": ["sim.host_teir=2"]}, r"sim.host_teir; did you mean sim.host_tier"),
        ({"sets": ["sim.speed=2"]}, r"--set sim.speed: .*; virtual time has none, so leave it out"),
        ({"shared": 10}, r"--shared-prefix: is for traces"),
        ({"sets": ["run.n=3"]}, r"--set run.n: means nothing to a simulation; each agent runs once, so give --agents for more"),
        ({"sets": ["engine.urls=sim"]}, r"--set engine.urls: means nothing to a simulation; give --profile, and --engines"),
        ({"sets": ["run.on_exit=ls"]}, r"--set run.on_exit: means nothing to a simulation; leave it out"),
        ({"sets": ["run.metrics_port=9"]}, r"--set run.metrics_port: means nothing to a simulation; leave it out"),
        ({"sets": ["run.fail_on_error=5%"]}, r"--set run.fail_on_error: means nothing to a simulation; its exit code is 1"),
        ({"sets": ["engine.model=m"]}, r"--set engine.model: means nothing to a simulation; give --profile"),
        (
            {"sets": ["sampling.max_tokens=abc"]},
            r"--set sampling.max_tokens: sampling.max_tokens must be a whole number, not 'abc'",
        ),
        ({"sets": ["sampling.max_completion_tokens=-1"]}, r"sampling.max_completion_tokens must be at least 1, not -1"),
        ({"sets": ["run.seed=-1"]}, r"run.seed: should be at least 0 for a simulation, not -1"),
        ({"run__seed": -1}, r"run.seed: should be at least 0 for a simulation, not -1"),
        ({"sets": ["replay.time_scale=0.5"]}, r"--set replay.time_scale: .*; give --time-scale"),
        ({"sets": ["agent.system=Hello"]}, r"--set agent.system: means nothing to a simulation; leave it out"),
    ],
)
def test_bad_input_gets_one_sentence(options, text):
    with pytest.raises(InputError, match=text) as caught:
        run(**options)
    assert "\n" not in str(caught.value)


def test_a_profile_file_may_begin_with_a_mark(tmp_path):
    (tmp_path / "marked.toml").write_text('\ufeffbase = "qwen3-8b@h100x1"\n', encoding="utf-8")
    run(profile=tmp_path / "marked.toml")


def test_what_is_no_profile_file_is_told_in_one_sentence(tmp_path):
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(
        InputError, match=r"folder.toml: cannot be read \(Is a directory\); give a profile file, as `concur engine fit"
    ):
        run(profile=tmp_path / "folder.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"bytes.toml: is not UTF-8 text; give a profile file"):
        run(profile=tmp_path / "bytes.toml")
    for digits in ("9" * 5000, "0x" + "f" * 5000):  # which Python reads, and does not write out
        (tmp_path / "long.toml").write_text(f"pool_tokens = {digits}\n")
        with pytest.raises(
            InputError, match=r"long.toml: holds a number too long, or a list too deep, to be read; give a profile file"
        ):
            run(profile=tmp_path / "long.toml")


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ('[controller]\nname = "foo"\n', r"file .*mine.toml: controller foo: there is no such controller"),
        ('[controller]\nname = "aimd"\nalpha = -4\n', r"file .*mine.toml: controller.alpha: .* \(got -4\)"),
        ("[workload]\nfoo = 1\n", r"file .*mine.toml: workload.foo: there is no such parameter"),
        ("[sim]\npage_size = 64\nchunked_prefill_size = 100\n", r"file .*mine.toml: sim.chunked_prefill_size 100: must be"),
    ],
)
def test_what_does_not_fit_is_told_with_the_file_that_gave_it(tmp_path, table, text):
    file = tmp_path / "mine.toml"
    file.write_text(table)
    with pytest.raises(InputError, match=text):
        run(config=file)


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        ("{not json\n", r"trace.jsonl:2: "),
        (json.dumps({"input_prompt_length": 5}) + "\n", r"trace.jsonl:2: "),
        (json.dumps(row(tool_call_latency=[1.0])) + "\n", r"trace.jsonl:2: .*tool_call_latency"),
        (json.dumps(row(final_assistant_response_length=10**20)) + "\n", r"trace.jsonl:2: .*final_assistant_response_length"),
    ],
)
def test_a_broken_row_is_named_by_its_line(tmp_path, broken, text):
    with pytest.raises(ConcurError, match=text):
        run(trace_file(tmp_path, row(), broken))
