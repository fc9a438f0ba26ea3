"""What of an agent's conversations counts as KV that it needs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concur_batch.control.conversations import Conversations, Returns

KEEP_S = 10.0


class Agent:
    """Calls of a second each, unless they are ended by hand."""

    def __init__(self, returns):
        self.returns, self.mine = returns, Conversations()

    def begin(self, number, at):
        return self.returns.began(self.mine, number, at, KEEP_S)

    def end(self, number, at, tokens=100):
        self.returns.ended(self.mine, number, at)
        self.returns.told(self.mine, number, at, tokens)
        return self.tokens

    def call(self, number, at, tokens=100):
        self.begin(number, at)
        return self.end(number, at + 1.0, tokens)

    @property
    def tokens(self):
        return self.returns.tokens(self.mine)


def test_of_one_conversation_the_context_counts_however_long_its_tools_take():
    agent = Agent(Returns())
    assert [agent.call(1, at, tokens) for at, tokens in ((0.0, 100), (5.0, 200), (500.0, 300))] == [100, 200, 300]
    assert agent.begin(1, 5000.0)


def test_what_was_left_counts_half_at_first_and_until_its_time_is_over():
    agent = Agent(Returns())
    agent.call(1, 0.0, tokens=1000)
    agent.begin(2, 2.0)
    assert agent.tokens == 500
    agent.end(2, 3.0)
    assert agent.call(2, 11.0) == 600  # ten seconds after the reply
    assert agent.call(2, 12.0) == 100


def test_all_count_in_which_calls_are_under_way():
    agent = Agent(Returns())
    agent.call(1, 0.0, tokens=1000)
    agent.begin(2, 2.0)
    agent.begin(3, 2.0)
    assert agent.end(2, 3.0, tokens=200) == 500 + 200
    agent.begin(2, 4.0)
    assert agent.end(3, 30.0, tokens=300) == 500 + 200 + 300
    assert agent.end(2, 31.0, tokens=250) == 500 + 250 + 150  # the third was left for one that was there before
    agent.begin(2, 32.0)
    assert agent.tokens == 250 + 150  # and the first has been forgotten


def test_a_judge_after_each_step_who_is_never_asked_again():
    """The conversation is come back to each time, the judge's never: of each as much counts."""
    returns = Returns()
    for _ in range(40):
        agent = Agent(returns)
        for step in range(5):
            after = agent.call(1, 8.0 * step, tokens=1000)
            agent.begin(step + 2, 8.0 * step + 4.0)
            at_judge = agent.tokens
            agent.end(step + 2, 8.0 * step + 5.0, tokens=300)
    assert at_judge == pytest.approx(1000, rel=0.05)
    assert after == pytest.approx(1000, rel=0.05)


def test_what_is_come_back_to_late_does_not_count():
    returns = Returns()
    for _ in range(40):
        agent = Agent(returns)
        for step in range(4):
            agent.call(1, 100.0 * step, tokens=1000)
            while_away = agent.call(step + 2, 100.0 * step + 2.0)
    assert while_away == pytest.approx(100, abs=60)


def test_a_miss_of_what_was_left_for_too_long_is_nobodys_fault():
    agent = Agent(Returns())
    agent.call(1, 0.0)
    agent.call(2, 2.0)
    assert agent.begin(1, 11.0)
    agent.end(1, 12.0)
    assert agent.begin(3, 13.0)  # it begins then
    agent.end(3, 14.0)
    assert not agent.begin(1, 25.0)
    agent.end(1, 26.0)
    assert not agent.begin(2, 27.0)


def test_what_an_earlier_process_did_tells_nothing_of_times():
    agent = Agent(Returns())
    for number in (1, 2) * 50:
        agent.returns.told(agent.mine, number, 1000.0, 100)
    agent.begin(3, 1008.0)
    assert agent.tokens == 100 / 2 + 100 / 2


def test_an_agent_of_very_many_conversations_is_remembered_in_part():
    returns, mine = Returns(), Conversations()
    for number in range(1, 1001):
        returns.began(mine, number, 0.0, float("inf"))
        returns.ended(mine, number, 0.0)
    assert len(mine.of) == 64


@given(st.lists(st.tuples(st.integers(1, 5), st.floats(0, 30), st.integers(0, 1000)), max_size=60))
def test_no_more_counts_than_there_is_and_no_less_than_the_last(calls):
    agent, at, last = Agent(Returns()), 0.0, {}
    for number, seconds, tokens in calls:
        at += 1.0 + seconds
        counted = agent.call(number, at, tokens)
        last = {n: (t, since) for n, (t, since) in last.items() if at - since <= KEEP_S} | {number: (tokens, at + 1.0)}
        assert tokens <= counted <= sum(tokens for tokens, _ in last.values())
        assert agent.mine.of.keys() == last.keys()
