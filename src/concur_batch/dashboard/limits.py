"""What the controller's limit is and whether it holds agents back, in words and as a place in the pool. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from concur_batch.dashboard.figures import count, duration
from concur_batch.dashboard.reasons import words
from concur_batch.records import Decided, Sampled
from concur_batch.state import EngineView, RunState
from concur_batch.state.engine import limits_agents

NONE = "none"
_MOST_FACTOR = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The limit in force that matters. `used` of `size`, both None where there is none."""

    words: str
    size: float | None = None
    used: float | None = None
    unit: str = ""  # what is used: `used` (in contexts), `active`, `in flight`
    tokens: float | None = None  # where in the pool it stands; None: nowhere


def describe(decision: Decided, max_agents: int, policy: str = "") -> str:
    """A decision's limit: the one on tokens before that on calls before that on agents. `none` is `--max-agents` alone."""
    if decision.tokens is not None:
        return f"{count(decision.tokens)} tokens"
    if decision.requests is not None:
        return f"{count(decision.requests)} call{'s' * (decision.requests != 1)}"
    if not limits_agents(decision, policy, max_agents):
        return NONE
    return f"{count(decision.agents)} agent{'s' * (decision.agents != 1)}"


def in_force(decision: Decided, state: RunState) -> Decided:
    """The limits that a decision comes to, with a person's factor on them."""
    factor = 1.0 if state.steered is None else state.steered.factor
    if factor == 1.0 or not 0 < factor < _MOST_FACTOR:
        return decision

    def scaled(limit: int | None) -> int | None:
        return None if limit is None else max(1, int(limit * factor))

    agents, tokens, requests = decision.agents, scaled(decision.tokens), scaled(decision.requests)
    if factor < 1 and tokens is requests is None and agents is not None and state.rollouts > 0:
        agents = min(agents, state.rollouts)
    agents = scaled(agents)
    if agents is not None and state.max_agents > 0:
        agents = min(agents, state.max_agents)
    return Decided(t=decision.t, engine=decision.engine, agents=agents, tokens=tokens, requests=requests, reason=decision.reason)


def bound(engine: EngineView, state: RunState) -> Bound:
    """The limit of one engine's agents, and what of it is used."""
    sample = engine.sample
    if engine.decision is None:
        return Bound(words="- not decided yet")
    decision = in_force(engine.decision, state)
    told = describe(decision, state.max_agents, engine.policy)
    if state.finished is not None:  # nobody uses any of it
        return Bound(words=told, tokens=decision.tokens)
    active = _active(engine, state)
    committed = None if sample is None else max(sample.committed_tokens, _locked_tokens(sample, engine))
    if decision.tokens is not None:
        return Bound(words=told, size=decision.tokens, used=committed, unit="used", tokens=decision.tokens)
    if decision.requests is not None:
        used = min(_calls(engine, state), decision.requests)
        return Bound(words=told, size=decision.requests, used=used, unit="in flight")
    if told == NONE:
        most = state.max_agents or decision.agents
        said = f"{NONE} but at most {count(most)} agent{'s' * (most != 1)}" if most else told
        return Bound(words=said, used=active, unit="active")
    each = committed / sample.active if committed and sample is not None and sample.active > 0 else None
    place = decision.agents * each if each is not None and decision.agents is not None else None
    return Bound(words=told, size=decision.agents, used=active, unit="active", tokens=place)


def _active(engine: EngineView, state: RunState) -> int | None:
    """Its agents with a slot: now, where it is the only engine, as the other lines tell; of several as of the last sample."""
    if engine.sample is None:
        return None
    return state.active if len(state.engines) == 1 else engine.sample.active


def _locked_tokens(sample: Sampled, engine: EngineView) -> int:
    """What the engine says is in use: a context counts from its first reply on, and takes room before."""
    capacity, locked = engine.capacity_tokens, sample.locked
    return int(locked * capacity) if locked is not None and capacity and 0 <= locked <= 1 else 0


def moved(engine: EngineView, now: float) -> str:
    """Why and when the limit last was another."""
    if engine.decision is None:
        return "no decision yet"
    if not engine.moves or engine.moves[-1].after.t > now:  # an earlier segment's clock
        return engine.decision.reason
    move = engine.moves[-1]
    return f"{words(engine.policy, move)}, {duration(now - move.after.t)} ago"


def _calls(engine: EngineView, state: RunState) -> int:
    """Agents that have made a model call, or wait for leave to make it."""
    return sum(live.engine == engine.name and live.phase == "model" for live in state.live.values())


def _waiting(engine: EngineView, state: RunState, sample: Sampled) -> str:
    """Whoever never started waits for all engines alike: of several, none tells their number."""
    if len(state.engines) == 1:
        return f"{count(_held_back(state, sample))} wait"
    own = sum(live.engine == engine.name and live.paused for live in state.live.values())
    if not state.unstarted:
        return f"{count(own or sample.waiting)} wait"
    return f"{count(own)} and new ones wait" if own else "new ones wait"


def _held_back(state: RunState, sample: Sampled) -> int:
    """How many wait for room, as `_active` counts."""
    return state.unstarted + state.paused if len(state.engines) == 1 else sample.waiting


def _is_full(state: RunState, sample: Sampled) -> bool:
    """Whether the run, over all engines, has as many agents as it may have, of whom none waits to return."""
    going_on = max(sample.active, sum(not live.paused for live in state.live.values()))
    return 0 < state.max_agents <= going_on


def holding(engine: EngineView, state: RunState, found: Bound) -> str:
    """Whether anybody is held back, and by what: empty where that cannot be said."""
    sample = engine.sample
    if state.finished is not None or sample is None or engine.decision is None:
        return ""
    if state.draining is not None:
        return "nobody starts: draining"
    if state.steered is not None and state.steered.held:
        return "nobody starts: held by hand"
    requests = in_force(engine.decision, state).requests
    if requests is not None and (calls := _calls(engine, state)) > requests:
        return f"{count(calls - requests)} calls wait: the limit is reached"
    if _held_back(state, sample) <= 0:
        return "holds nobody back"
    waits = _waiting(engine, state, sample)
    of_tokens = engine.decision.tokens is not None
    used = sample.committed_tokens if of_tokens else found.used  # as the gate counts
    reached = found.size is not None and used is not None and used >= 0.95 * found.size
    if _is_full(state, sample) and not (reached and (of_tokens or found.size != state.max_agents)):
        return f"{waits}: --max-agents is reached"
    if reached:
        return f"{waits}: the limit is reached"
    return f"{waits}: rest is for growth" if of_tokens and engine.policy == "forecast" else waits
