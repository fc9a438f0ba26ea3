from random import Random

from journals import reply

from concur_batch.report.growth import MOST_STEPS, PER_STEP, Growth


def test_quantiles_of_the_contexts_of_each_step():
    growth = Growth(Random(0))
    for i in range(101):
        growth.reply(reply(f"a{i}#0", 1, 1, step=1, prompt_tokens=i, completion_tokens=0), 0.0)
    growth.reply(reply("a#0", 2, 1, step=3, prompt_tokens=7, completion_tokens=3), 0.0)
    view = growth.view()
    assert (view["step"], view["agents"]) == ([1, 3], [101, 1])
    assert [view[name][0] for name in ("p10", "p25", "p50", "p75", "p90", "max")] == [10, 25, 50, 75, 90, 100]
    assert view["p50"][1] == 10


def test_memory_is_bounded_in_agents_and_in_steps():
    growth = Growth(Random(0))
    for i in range(3 * PER_STEP):
        growth.reply(reply("a#0", 1, 1, step=1, prompt_tokens=i), 0.0)
    growth.reply(reply("a#0", 1, 1, step=10**9), 0.0)
    view = growth.view()
    assert (view["agents"], view["beyond"], view["step"]) == ([3 * PER_STEP], 1, [1])
    assert MOST_STEPS < 10**9
