"""How many steps agents make, against the product-limit estimate by hand."""

import math
import random
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from concur_batch.control.lengths import usual_hazard
from concur_batch.control.survival import Survival


def survival(ended=(), running=()):
    found = Survival()
    for steps in (*ended, *running):
        for step in range(1, steps + 1):
            found.goes_on(step - 1)
            found.stepped(step)
    for steps in ended:
        found.ended(steps)
    return found


def by_hand(ended, running, most):
    """S(k), the share that does not end in fewer than k steps: the product over what those at risk did, eight of the prior among them."""
    shares, prior = [1.0], 8.0
    for k in range(most):
        at_risk = sum(n >= k for n in ended) + sum(n > k for n in running) + prior
        shares.append(shares[-1] * max(0.001, 1 - (ended.count(k) + prior * usual_hazard(k)) / at_risk))
        prior *= 1 - usual_hazard(k)
    return shares


lives = st.lists(st.integers(0, 40), max_size=30)


@given(lives, lives)
def test_equals_the_product_limit_estimate_with_the_priors_agents_among_them(ended, running):
    seen = max([12, *running, *(n + 1 for n in ended)])  # beyond it the last hazard goes on
    found = survival(ended, running)
    assert [math.prod(1 - found.plain_hazard(k) for k in range(n)) for n in range(seen + 1)] == pytest.approx(
        by_hand(ended, running, seen)
    )


@given(lives, lives)
def test_shares_only_fall_and_hazards_are_shares(ended, running):
    found = survival(ended, running)
    shares = found.shares(200)
    assert shares[0] == 1
    assert all(b <= a for a, b in pairwise(shares))
    assert all(0 <= found.hazard(k) <= 1 for k in range(-1, 60))
    assert found.mean_steps > 0


@given(lives, lives)
@example([], [38] * 5)
def test_the_rest_is_the_sum_of_the_shares_to_come(ended, running):
    found = survival(ended, running)
    shares = found.shares(3000)
    assert found.rest(0) == pytest.approx(found.mean_steps / shares[1], rel=0.05)
    if found.hazard(500) >= 0.01:  # less is taken for so much, or single agents would live for ever
        for steps in range(45):  # it takes the hazard of late steps together
            assert found.rest(steps) == pytest.approx(sum(shares[steps + 1 :]) / shares[steps + 1], rel=0.05)


@given(lives, lives, st.integers(0, 300))
def test_the_rest_does_not_depend_on_how_far_somebody_looked(ended, running, steps):
    found, other = survival(ended, running), survival(ended, running)
    other.shares(1000)
    assert found.rest(steps) == other.rest(steps)


def test_the_rest_falls_where_all_make_as_many_steps():
    found = survival([20] * 200)
    assert [round(found.rest(steps)) for steps in (0, 5, 10, 19)] == [20, 15, 10, 1]


@given(lives, lives, st.integers(1, 40))
def test_agents_that_still_run_never_make_lives_look_shorter(ended, running, steps):
    before, after = survival(ended, running), survival(ended, [*running, steps])
    seen = max([12, *running, *(n + 1 for n in ended)])
    assert all(after.plain_hazard(k) <= before.plain_hazard(k) + 1e-12 for k in range(seen))


def test_nothing_known_is_the_prior():
    found = Survival()
    assert [found.plain_hazard(k) for k in (0, 9, 10, 99)] == pytest.approx([0, 0, 0.1, 0.1])
    assert found.mean_steps == pytest.approx(18.0, abs=0.5)  # 19 by that, but they may be shorter


def test_a_few_ends_after_the_first_step_tell_that_agents_are_short():
    found = survival([1] * 6)
    assert found.mean_steps < 2.5
    assert found.hazard(2) > 0.4
    assert found.plain_hazard(2) == 0  # for agents of another kind


@pytest.mark.parametrize("draw", [lambda rng: rng.randint(10, 30), lambda rng: 1 + int(rng.expovariate(1 / 12)), lambda _: 7])
def test_mean_steps_come_close_to_the_truth(draw):
    rng = random.Random(0)
    ended = [draw(rng) for _ in range(2000)]
    assert survival(ended).mean_steps == pytest.approx(sum(ended) / len(ended), rel=0.05)


def test_agents_caught_at_any_moment_do_not_make_it_that_of_the_quick_ones():
    rng = random.Random(1)
    caught = [(rng.randint(10, 30), rng.randint(1, 30)) for _ in range(2000)]
    ended, running = [n for n, at in caught if n <= at], [at for n, at in caught if n > at]
    assert sum(ended) / len(ended) < 17
    assert survival(ended, running).mean_steps == pytest.approx(20, rel=0.1)


def test_endless_agents_take_bounded_memory():
    found = survival([5000])
    assert len(found.shares(100)) < 1100
    assert math.isfinite(found.mean_steps)
