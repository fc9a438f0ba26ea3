"""Who starts, who pauses, who returns."""

from hypothesis import given
from hypothesis import strategies as st

from concur_batch.control.admission import SlotAdmission
from concur_batch.control.base import AgentView, Limit, Roster


def agents(*contexts):
    return [AgentView(rollout=f"a{i}", order=i, context_tokens=c) for i, c in enumerate(contexts)]


def pausing(admission, limit, active):
    there = roster(limit, active)
    return [a.order for a in active if not admission.may_continue(a, there)]


def roster(limit, active=(), paused=()):
    return Roster(
        limit=limit,
        active={a.rollout: a for a in active},
        paused={a.rollout: a for a in paused},
        committed_tokens=sum(a.context_tokens for a in active),
    )


def test_the_newest_pause_first():
    assert pausing(SlotAdmission(), Limit(agents=2), agents(1, 1, 1, 1)) == [2, 3]


def test_other_orders():
    active = agents(5, 9, 1, 7)
    assert pausing(SlotAdmission(pause="oldest"), Limit(agents=3), active) == [0]
    assert pausing(SlotAdmission(pause="largest"), Limit(agents=3), active) == [1]
    assert pausing(SlotAdmission(pause="smallest"), Limit(agents=3), active) == [2]


def test_within_the_limit_nobody_pauses():
    assert pausing(SlotAdmission(), Limit(agents=4), agents(1, 1, 1, 1)) == []


def test_tokens_pause_as_many_as_cover_the_surplus():
    assert pausing(SlotAdmission(), Limit(tokens=60), agents(30, 30, 30, 30)) == [2, 3]


def test_a_single_agent_above_the_token_limit_goes_on():
    assert pausing(SlotAdmission(), Limit(tokens=10), agents(30)) == []
    assert SlotAdmission().may_start(agents(99)[0], roster(Limit(tokens=10)))


def test_the_oldest_returns_first():
    there = roster(Limit(), paused=agents(1, 1, 1))
    assert SlotAdmission().next_returning(there).order == 0
    assert SlotAdmission(back="newest").next_returning(there).order == 2
    assert SlotAdmission().next_returning(roster(Limit())) is None


@given(
    st.lists(st.integers(0, 1000), min_size=1, max_size=30),
    st.integers(0, 30),
    st.integers(0, 20_000),
    st.sampled_from(["newest", "oldest", "largest", "smallest"]),
)
def test_those_who_go_on_are_within_the_limit(contexts, limit_agents, limit_tokens, pause):
    active = agents(*contexts)
    limit = Limit(agents=limit_agents, tokens=limit_tokens)
    gone = pausing(SlotAdmission(pause=pause), limit, active)
    left = [a for a in active if a.order not in gone]
    assert len(left) <= limit_agents
    assert len(left) <= 1 or sum(a.context_tokens for a in left) <= limit_tokens
    assert left or limit_agents == 0
    assert len(left) == min(limit_agents, len(active)) or sum(contexts) > limit_tokens
