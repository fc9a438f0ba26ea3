"""The default policy with an engine and agents to tell it of."""

from concur_batch.control.base import UNLIMITED, AgentView, Limit, Roster, Sample
from concur_batch.control.forecast import Forecast
from concur_batch.control.forecast_parameters import ForecastParameters

POOL = 100_000
FILL = ForecastParameters().fill


def law(max_agents=1024, **parameters):
    """Few agents are enough for these stories: it holds them back although the engine could take them."""
    return Forecast(ForecastParameters(**{"harmless": 0.0} | parameters), max_agents)


def sample(time, **more):
    """An engine whose prefill rate makes break-even ten seconds."""
    fields = {"capacity_tokens": POOL, "prefill_tokens": 20_000, "prefill_busy_seconds": 2.0, "prompt_tokens": 30_000}
    return Sample(engine="e", time=time, **fields | {"cached_tokens": 29_000, "history_tokens": 29_000} | more)


def agent(order, context=1000, steps=3, **more):
    return AgentView(rollout=f"a{order}", order=order, steps=steps, context_tokens=context if steps else 0, **more)


def in_tool(order, since=0.0, **more):
    return agent(order, tools=1, tool_started=since, **more)


def roster(tokens=POOL, active=(), paused=(), away=(), now=0.0, agents=UNLIMITED):
    return Roster(
        limit=Limit(agents=agents, tokens=tokens),
        now=now,
        active={a.rollout: a for a in active},
        paused={a.rollout: a for a in paused},
        away={a.rollout: a for a in away},
        committed_tokens=sum(a.context_tokens for a in active),
    )


def lived(it, count=20, steps=10, growth=400, first=1000, tool_s=1.0, now=0.0):
    """So many agents that the policy has seen from beginning to end."""
    for number in range(count):
        one = AgentView(rollout=f"past{number}", order=-1)
        for step in range(1, steps + 1):
            one.steps, one.growth_tokens = step, first if step == 1 else growth
            one.context_tokens += one.growth_tokens
            it.replied(one)
            if step < steps:
                it.tool_ended(one, tool_s)
        it.ended(one, roster(now=now))
    return it


def sampled(it, start=1, stop=10, **more):
    """The last limit of some seconds like this."""
    return [it.update(sample(float(t), **more)) for t in range(start, stop)][-1]
