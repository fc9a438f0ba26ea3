"""What the whole project is about, told in virtual time: too many agents make a small cache thrash, and a controller prevents it."""

from itertools import pairwise

from simulated import core
from stage import Stage

from concur_batch import records as r
from concur_batch.engine.sim import SimEngine
from concur_batch.sim.profile import find_profile
from concur_batch.sim.tasks import tasks
from concur_batch.sim.workload import WorkloadParameters, generate
from concur_batch.toolbox.recorded import RecordedTools

AGENTS = 64
POOL = 250_000


def run(controller, **options):
    traces = generate(WorkloadParameters(agents=AGENTS, output_median=100), seed=0)
    engine = SimEngine(core(POOL, find_profile("qwen3-32b@h100x4").cost, log=False, **options))
    stage = Stage(engine=engine, job=list(tasks(traces)), controller=controller, max_agents=AGENTS, tools=RecordedTools())
    return stage.run()


def makespan(stage):
    return max(x.t for x in stage.of(r.RolloutFinished))


def hit_rate(stage, start, stop):
    replies = [x for x in stage.of(r.ReplyReceived) if start <= x.t < stop]
    return sum(x.cached_tokens for x in replies) / sum(x.prompt_tokens for x in replies)


def test_uncontrolled_agents_start_well_collapse_in_the_middle_and_recover_at_the_end():
    stage = run("off")
    end = makespan(stage)
    assert hit_rate(stage, 0, 0.03 * end) > 0.5
    assert hit_rate(stage, 0.2 * end, 0.7 * end) < 0.2
    assert hit_rate(stage, 0.98 * end, end + 1) > 0.6
    assert {x.status for x in stage.of(r.RolloutFinished)} == {"completed"}
    evicted = [x.evicted_tokens for x in stage.of(r.Sampled) if x.evicted_tokens is not None]
    assert sum(evicted) > 5 * POOL


def test_the_papers_law_and_a_good_window_keep_the_histories_cached():
    off, aimd, window = (makespan(run(controller)) for controller in ("off", "aimd", "fixed:16"))
    assert off > 1.5 * window
    assert off > 1.5 * aimd


def test_the_cliff_is_steep():
    at_the_knee, beyond = (makespan(run(f"fixed:{n}")) for n in (16, 24))
    assert beyond > 1.3 * at_the_knee


def test_the_controller_sees_only_what_a_server_tells():
    samples = run("aimd").of(r.Sampled)
    assert all(x.capacity_tokens == POOL for x in samples if not x.stale)
    assert all(0 <= x.locked <= x.resident + 0.05 for x in samples if x.locked is not None)  # the two are read at other moments
    told = [x.locked for x in samples if x.locked is not None]
    assert max(told) <= 1
    assert sum(a == b for a, b in pairwise(told)) < len(told)


def test_priority_and_session_caches_run_the_same_batch():
    plain, tagged = run("fixed:16"), run("fixed:16", session_cache=True)
    assert len(tagged.of(r.ReplyReceived)) == len(plain.of(r.ReplyReceived))
    assert makespan(tagged) < 1.02 * makespan(plain)
