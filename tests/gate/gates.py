"""A gate with its records, agents, and an admission that lets everybody in a tool call give its slot up."""

import asyncio
from dataclasses import dataclass, field

from concur_batch.control.admission import SlotAdmission
from concur_batch.control.base import AgentView, Limit
from concur_batch.gate import Gate
from concur_batch.recorder import Recorder


@dataclass(frozen=True)
class Impatient(SlotAdmission):
    """Everybody in a tool call gives up its slot; remembers what it was told."""

    heard: list = field(default_factory=list)

    def yielding(self, roster):
        return [agent for agent in roster.active.values() if agent.tool_started is not None]

    def tool_ended(self, agent, seconds):
        self.heard.append((agent.order, seconds))

    def ended(self, agent, roster):
        self.heard.append((agent.order, "ended"))


@dataclass(frozen=True)
class Attentive(SlotAdmission):
    """Whose KV has not been used for ten seconds of a tool call is touched."""

    def touching(self, roster):
        return [agent for agent in roster.active.values() if roster.now - (agent.touched or agent.tool_started) >= 10]


@dataclass(frozen=True)
class NewFirst(SlotAdmission):
    """Nobody returns while a new one waits."""

    def next_returning(self, roster):
        return None if roster.new is not None else super().next_returning(roster)


def gate_of(agents=2, admission=None, starting=lambda: False, **limit):
    records = []
    recorder = Recorder(asyncio.get_running_loop().time, records.append)
    room = asyncio.Event()
    gate = Gate("e", admission or SlotAdmission(), Limit(agents=agents, **limit), recorder, room.set, starting=starting)
    return gate, records, room


def view(order):
    return AgentView(rollout=f"a#{order}", order=order)


def started(count, agents=2, **limit):
    """A gate and so many agents that have started at it."""
    gate, records, room = gate_of(agents, **limit)
    views = [view(order) for order in range(count)]
    for agent in views:
        gate.start(agent)
    return gate, records, room, views


def told(records):
    return [(type(record), getattr(record, "reason", None) or getattr(record, "paused_s", None)) for record in records]


def yielded(agents=1, count=1):
    """A gate at which all of so many agents are away in a tool call."""
    law = Impatient()
    gate, records, room = gate_of(agents, law)
    views = [view(order) for order in range(count)]
    for agent in views:
        gate.start(agent)
        gate.replied(agent, prompt_tokens=90, completion_tokens=10, cached_tokens=None)
        gate.tool_began(agent)
    gate.resize(gate.limit)
    return gate, law, records, room, views
