"""What of the conversations that agents have left counts as KV that they will need again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.control.conversations import Conversations, Returns, in_time

KEEP_S = 10.0


class Agent:
    """Calls of a second each."""

    def __init__(self, returns):
        self.returns, self.of = returns, Conversations()

    def call(self, number, at, tokens=100):
        """The tokens that are left behind and counted afterwards."""
        return self.returns.replied(self.of, number, tokens, began=at, now=at + 1.0, keep_s=KEEP_S)

    def kept(self, number, at):
        return in_time(self.of, number, began=at, keep_s=KEEP_S)


def test_one_conversation_leaves_nothing():
    agent = Agent(Returns())
    assert [agent.call(1, at) for at in (0.0, 5.0, 500.0)] == [0, 0, 0]
    assert agent.kept(1, 5000.0)


def test_what_was_left_counts_half_at_first_and_until_its_time_is_over():
    agent = Agent(Returns())
    agent.call(1, 0.0, tokens=1000)
    assert agent.call(2, 2.0) == 500
    assert agent.call(2, 11.0) == 500  # ten seconds after the reply, the call has begun
    assert agent.call(2, 12.0) == 0


def test_a_judge_after_each_step_who_is_never_asked_again():
    """The conversation is come back to each time, the judge's never: of each as much counts."""
    returns = Returns()
    for _ in range(40):
        agent = Agent(returns)
        for step in range(5):
            at_judge = agent.call(step + 2, 8.0 * step + 4.0, tokens=300) if step else 0
            after = agent.call(1, 8.0 * step + 8.0, tokens=1000)
    assert at_judge == pytest.approx(1000, rel=0.05)
    assert after == pytest.approx(0, abs=30)


def test_what_is_come_back_to_late_does_not_count():
    returns = Returns()
    for _ in range(40):
        agent = Agent(returns)
        for step in range(4):
            agent.call(1, 100.0 * step, tokens=1000)
            while_away = agent.call(step + 2, 100.0 * step + 2.0)
    assert while_away == pytest.approx(0, abs=60)


def test_a_miss_of_what_was_left_for_too_long_is_nobodys_fault():
    agent = Agent(Returns())
    agent.call(1, 0.0)
    agent.call(2, 2.0)
    assert agent.kept(1, 11.0)
    assert not agent.kept(1, 11.1)
    assert agent.kept(2, 100.0)
    assert agent.kept(3, 100.0)  # it begins then
    agent.call(2, 30.0)
    assert not agent.kept(1, 31.0)


def test_what_an_earlier_process_did_tells_nothing_of_times():
    returns = Returns()
    agent = Agent(returns)
    for number in (1, 2) * 50:
        returns.replied(agent.of, number, 100, began=None, now=7.0, keep_s=KEEP_S)
    assert agent.call(3, 8.0) == 100 / 2 + 100 / 2


@given(st.lists(st.tuples(st.integers(1, 5), st.floats(0, 30), st.integers(0, 1000)), max_size=60))
def test_no_more_counts_than_was_left_and_it_is_forgotten_in_time(calls):
    agent, at, last = Agent(Returns()), 0.0, {}
    for number, seconds, tokens in calls:
        at += seconds
        counted = agent.call(number, at, tokens)
        last[number] = tokens, at + 1.0
        recent = {n: tokens for n, (tokens, since) in last.items() if n != number and at - since <= KEEP_S}
        assert 0 <= counted <= sum(recent.values())
        assert agent.of.left.keys() == recent.keys()
