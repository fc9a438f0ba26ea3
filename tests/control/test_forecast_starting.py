"""How the default policy lets agents start of which little is known yet."""

from laws import agent, law, lived, roster, sampled

from concur_batch.control.base import UNLIMITED
from concur_batch.control.forecast import Forecast
from concur_batch.control.forecast_parameters import ForecastParameters


def begun(it, tokens, limit_agents, active=(), **more):
    """How many are active in the end where all are like that."""
    there = list(active)
    while it.may_start(new := agent(len(there), steps=0, **more), roster(tokens, there, agents=limit_agents)):
        there.append(new)
    return len(there)


def before(pool, prompt_tokens):
    """How many begin before the first sample."""
    it = Forecast(ForecastParameters(), 1024, pool)
    return begun(it, UNLIMITED, it.first.agents, prompt_tokens=prompt_tokens)


def test_before_the_first_sample_as_many_as_have_room_to_grow_by_their_prompts():
    assert before(800_000, 3_500) == 800_000 // (3_500 + 8_192)
    assert before(800_000, 30_000) == 800_000 // (30_000 + 8_192)
    assert before(800_000, 100_000) == 16  # as it would be if nothing were known of prompts
    assert before(800_000, 0) == 16
    assert before(None, 3_500) == 16  # nor of the pool
    assert before(32_768, 3_500) == 8


def test_a_small_pool_is_taken_to_hold_eight_agents_whose_prompts_are_no_more_than_their_part_of_it():
    assert before(20_000, 1_000) == 8
    assert before(20_000, 2_500) == 8
    assert before(20_000, 3_000) == 6
    assert before(20_000, 10_000) == 4  # as it would be if nothing were known of prompts
    assert before(20_000, 0) == 4


def test_after_the_first_sample_unheard_agents_are_as_large_as_their_prompts_and_no_smaller_than_usual():
    def after(prompt_tokens):
        it = Forecast(ForecastParameters(), 1024, 800_000)
        began = [agent(n, steps=0, prompt_tokens=prompt_tokens) for n in range(16)]
        limit = sampled(it, capacity_tokens=800_000)
        list(it.yielding(roster(limit.tokens, began)))
        return begun(it, limit.tokens, limit.agents, began, prompt_tokens=prompt_tokens)

    assert after(1_000) == after(0) > after(20_000) > 16


def test_agents_start_in_waves_until_some_have_been_heard():
    it = law(first=4)
    sampled(it, capacity_tokens=20_000)
    new = [agent(n, steps=0) for n in range(9)]
    assert it.may_start(new[8], roster(active=new[:3], tokens=10**9))
    assert not it.may_start(new[8], roster(active=new[:4], tokens=10**9))
    for n in range(20, 23):  # twice as many as those
        it.replied(agent(n, 1000, 1))
    assert it.may_start(new[8], roster(active=new[:5], tokens=10**9))
    assert not it.may_start(new[8], roster(active=new[:6], tokens=10**9))


def test_those_that_will_end_with_their_first_step_need_not_be_heard_before():
    it = law(first=4)
    sampled(it, capacity_tokens=20_000)
    new = [agent(n, steps=0) for n in range(30)]
    for n in range(100, 110):
        it.replied(agent(n, 1000, 1))
        it.ended(agent(n, 1000, 1), roster())
    assert it.may_start(new[29], roster(active=new[:29], tokens=10**9))


def waiting(it, agents, pool, heard=10, **more):
    """The law once ten agents that go on have been heard, with so many agents in all; and who has started then."""
    for n in range(200, 200 + heard):
        it.replied(agent(n, 1000, 1, growth_tokens=1000))
    sampled(it, capacity_tokens=pool, active=1, waiting=agents - 1)
    started = []
    while len(started) < agents and it.may_start(one := agent(len(started), steps=0, **more), roster(int(0.9 * pool), started)):
        started.append(one)
    return len(started)


def test_until_the_first_has_ended_a_small_batch_looks_six_steps_ahead():
    """Agents of 1,000 tokens that grow by 1,000 a step: after six steps a dozen fill the pool, after ten eight. That they make
    more than ten is believed all along, but counts only when one has ended."""
    assert waiting(law(), agents=12, pool=90_000) == 12
    it = law()
    it.ended(agent(300, 10_000, 10), roster())
    assert waiting(it, agents=12, pool=90_000) == 10


def test_a_large_batch_looks_ten_steps_ahead():
    """Nothing is lost with those that begin a little later, since others wait in any case."""
    assert [waiting(law(), agents=agents, pool=90_000) for agents in (14, 50)] == [8, 8]


def test_a_limit_on_steps_lets_more_start():
    most = [waiting(law(), agents=60, pool=90_000, heard=40, most_steps=steps) for steps in (None, 50, 6, 3, 1)]
    assert most == sorted(most)
    assert most[1] < most[2] < most[3] < most[4] == 60


def test_agents_of_one_step_are_not_waited_for():
    it = law(first=4)
    sampled(it, capacity_tokens=1_000_000)
    new = [agent(n, steps=0, most_steps=1) for n in range(201)]
    assert it.may_start(new[200], roster(10**9, new[:200]))


def starting(*, running, queued, locked):
    """How many start beside ten agents in a model call, when the engine has been seen like that for two minutes."""
    it = lived(law())
    calling = [agent(n, 2000, 5, calls=1) for n in range(10)]
    for second in range(120):
        sampled(it, second, second + 1, running_requests=running, queued_requests=queued, locked=locked)
        list(it.yielding(roster(active=calling, now=float(second))))
    started = []
    while it.may_start(agent(100 + len(started), steps=0), roster(active=[*calling, *started])):
        started.append(agent(100 + len(started), steps=0))
    return len(started)


def test_calls_that_the_engine_lets_wait_hold_nothing_yet():
    """Ten calls of 2,000 tokens and 1,000 more each. When only half of them run, half as much is locked, and each will need as much."""
    all_run = starting(running=10, queued=0, locked=0.30)
    assert starting(running=5, queued=5, locked=0.15) == all_run
    assert starting(running=10, queued=0, locked=0.25) > all_run
    assert starting(running=0, queued=0, locked=0.30) == all_run  # none was seen in that moment
