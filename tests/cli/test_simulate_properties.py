"""What holds for any simulated run: all agents end, and every figure is what the records say."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from concur_batch.cli import parts
from concur_batch.cli.trial.simulate import configured, with_all_live
from concur_batch.cli.trial.simulation import simulate
from concur_batch.config import resolve
from concur_batch.records import ReplyReceived, RolloutFinished, RolloutPaused, Sampled
from concur_batch.sim.tasks import tasks
from concur_batch.sim.workload import AgentTrace


@st.composite
def agents(draw):
    steps = draw(st.integers(1, 6))
    shared = draw(st.sampled_from([0, 0, 100, 1500, 20_000]))
    tokens = st.one_of(st.integers(1, 40), st.integers(1, 3000))
    return AgentTrace(
        shared_tokens=shared,
        prompt_tokens=shared + draw(st.sampled_from([1, 50, 4000])),
        outputs=tuple(draw(tokens) for _ in range(steps)),
        observations=tuple(draw(tokens) for _ in range(steps - 1)),
        tool_seconds=tuple(draw(st.sampled_from([0.0, 0.4, 30.0])) for _ in range(steps - 1)),
        group=draw(st.sampled_from(["", "a", "b"])),
    )


SETS = st.fixed_dictionaries(
    {
        "sim.pool_tokens": st.sampled_from([2_000, 7_500, 30_000, 400_000]),
        "sim.page_size": st.sampled_from([1, 1, 16, 64]),
        "sim.chunked_prefill_size": st.sampled_from([512, 8192]),
        "sim.host_tier": st.sampled_from([0.0, 0.0, 1.5]),
        "sim.session_cache": st.booleans(),
        "sampling.ignore_eos": st.booleans(),
    }
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(agents(), min_size=1, max_size=12),
    SETS,
    st.sampled_from(["off", "fixed:2", "requests:2", "aimd", "accounting", "turnover"]),
    st.sampled_from(["qwen3-8b@h100x1", "deepseek-v3@h200x8"]),
    st.sampled_from([1, 1, 2]),
)
def test_the_figures_are_what_the_records_say(traces, sets, controller, profile, engines):
    options = {"engine.urls": parts.simulated_urls(profile, engines), "controller.name": controller}
    config = configured(resolve(options, [f"{key}={value}" for key, value in sets.items()], None, {}))
    records = []
    found = simulate(
        traces, list(tasks(traces)), with_all_live(config, len(traces)), records.append, progress=lambda _: None
    ).figures
    replies = [x for x in records if isinstance(x, ReplyReceived)]
    ended = [x for x in records if isinstance(x, RolloutFinished)]

    assert len({x.rollout for x in ended}) == len(ended) == found["agents"] == len(traces)
    assert found["statuses"] == Counter(x.status for x in ended)
    assert set(found["statuses"]) <= {"completed", "context_length"}
    for one in ended:
        trace = traces[int(one.rollout.removeprefix("agent-").partition("#")[0])]
        if one.status == "completed":
            assert (one.prompt_tokens, one.completion_tokens) == (sum(trace.prompts()), sum(trace.outputs))

    prompt, cached = sum(x.prompt_tokens for x in replies), sum(x.cached_tokens for x in replies)
    history, missed = sum(x.history_tokens for x in replies), sum(x.missed_tokens for x in replies)
    assert (found["steps"], found["prompt_tokens"], found["cached_tokens"] or 0) == (len(replies), prompt, cached)
    assert found["generated_tokens"] == sum(x.completion_tokens for x in replies)
    assert (found["history_tokens"] or 0, found["recomputed_tokens"] or 0) == (history, missed)
    assert found["hit_rate"] == (round(cached / prompt, 6) if prompt else None)
    assert found["pauses"] == sum(isinstance(x, RolloutPaused) for x in records)

    assert found["makespan_s"] == round(max(x.t for x in ended), 6)
    assert found["agent_p99_s"] <= found["done_p99_s"] <= found["makespan_s"]
    assert found["lower_bound_s"] <= found["makespan_s"] * (1 + 1e-9) + 1e-6
    assert all(0 <= x.locked <= 1 for x in records if isinstance(x, Sampled) and x.locked is not None)
