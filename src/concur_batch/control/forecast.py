"""The default policy: weigh agents in tokens, foresee how their contexts grow and end, and let in as many as will fit.

docs/control.md has the law, what each constant means and how the suite moves with it, and what was tried and dropped.
Each part is a file of its own: `kinds` and `survival` learn what tasks are like, `cycle` how long their steps take, `projection` foresees their
peak, `under_way` measures what model calls hold, `patience` weighs tool calls, `room` learns how far the pool may be filled. Here they meet.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain
from math import fsum  # sum() rounds otherwise since Python 3.12

from concur_batch.control.base import UNLIMITED, Admission, AgentView, Limit, Roster, Sample
from concur_batch.control.cycle import Cycle
from concur_batch.control.forecast_parameters import ForecastParameters
from concur_batch.control.kinds import Kind, Kinds, own_tokens
from concur_batch.control.patience import Patience
from concur_batch.control.prefill import Company, PrefillCost
from concur_batch.control.projection import Crowd, peak_tokens, private_tokens
from concur_batch.control.room import Room
from concur_batch.control.start import Start, is_last, steps_ahead
from concur_batch.control.under_way import UnderWay

_SETTLE_EVERY = 5  # samples
_STRAIN_SMOOTHING = 0.05  # of the samples with misses and a queue
_STRAIN = 0.5
_DEAD_LIVES = 1.5  # what an agent leaves, in contexts of its tool calls: they are of all its ages, and it ends at the greatest
_LEAST_DEVIATIONS = 3.0  # of what active agents grow by in a step, for which there is room at least
_MOST_DEVIATIONS = 8.0
_DEVIATIONS = 1.25  # the same, where a step takes as long as to prefill the whole pool
_TOUCH_TOKENS = 250.0  # prefilled in the time of a touch: a pass of its own would be 500 or more, but most go along with a call
_CALM_S = 60.0  # without evictions, after which nothing has to be touched
_LIVES = 1.3  # of those under way, for which the last ones go by the longest rest: the batch ends with the longest life, not the mean one


class Forecast(Admission):
    """Controller and admission of one engine. Private tokens throughout: what agents have in common counts once."""

    def __init__(self, parameters: ForecastParameters, max_agents: int, pool_tokens: int | None = None) -> None:
        """`pool_tokens`: as far as it is known beforehand."""
        self._p = p = parameters
        self._start = Start(p.first, pool_tokens)
        self._max_agents = max_agents
        self._kinds = Kinds()
        self._prefill = PrefillCost()
        self._company = Company()
        self._patience = Patience()
        self._room = Room(parameters)
        self._sampled: float | None = None
        self._samples = 0
        self._frees_ended = False
        self._host_tokens = 0
        self._evicted = -math.inf  # when the engine last was seen to evict
        self._under_way = UnderWay()
        self._used: float | None = None  # present private tokens over the limit, at the last sample; None: no limit on them
        self._present = 0.0  # of them, those that replies have told
        self._limited: tuple[int, float] | None = None  # the last limit on tokens, and the pool that it was of
        self._limit: Limit | None = None  # the last, as it was told
        self._calls = 0  # under way
        self._read: float | None = None  # when the engine was last read: its counters tell of all that came since
        self._cycle = Cycle()
        self._overdue: dict[str, float] = {}  # rollout -> beginning of the tool calls that have been counted before they are back
        self._aside = self._light = False  # nobody is held back; because that is harmless
        self._harmless = parameters.harmless  # the load that is taken to be, until it proves not to be
        self._strained = 0.0  # share of the last samples in which nobody was held back and the engine fell behind
        self._agents = self._away = 0  # who would be active if nobody were held back; in long tool calls
        self._begun, self._begun_tokens = 0, 0.0  # who has begun and not ended; their contexts at present
        self._replied = self._replies_tell = False  # somebody; of the cache
        self._other_tokens = 0.0  # of the active agents
        self._ended = False  # somebody has
        self._waiting, self._share = 0, 1.0  # new and paused, at the last sample; of the new ones, what falls to this engine
        self._lives = math.inf  # left to be done, as `_lives_left` tells
        self._lives_looked = -1  # as of which sample

    # How much --------------------------------------------------------------------------------------------------------

    @property
    def first(self) -> Limit:
        """Before the first sample."""
        return Limit(agents=min(self._start.most, self._max_agents), reason="first")

    def update(self, sample: Sample) -> Limit:
        """The limit from now on, in tokens. While calls are under way and an engine that tells of itself is not heard of, it stays."""
        if self._limit is not None and self._read is not None and self._calls and not sample.is_read and not sample.prompt_tokens:
            self._sampled = sample.time
            return self._limit._replace(reason="no-evidence")
        self._limit = self._decided(sample)
        return self._limit

    def _decided(self, sample: Sample) -> Limit:
        interval_s = 1.0 if self._sampled is None else max(0.0, sample.time - self._sampled)
        read_s = interval_s if self._read is None else max(0.0, sample.time - self._read)
        self._sampled = sample.time
        if sample.is_read:
            self._read = sample.time
        self._frees_ended, self._host_tokens = sample.frees_ended, sample.host_tokens
        if sample.evicted_tokens != 0:  # or it is not told
            self._evicted = sample.time
        self._waiting, self._share = sample.waiting, sample.share
        self._agents = min(sample.active + sample.waiting + self._away, self._max_agents)
        reason = self._room.sampled(sample, interval_s, used=self._used, present=self._present)
        pool = self._room.pool_tokens
        self._under_way.sampled(sample, pool)
        if pool is not None:
            self._kinds.whole.pool_tokens = pool
        self._prefill.sampled(sample, read_s)
        self._company.sampled(sample, interval_s, self._prefill.fixed_s if self._p.together else 0.0)
        self._patience.sampled(pool, self._prefill.per_token_s, interval_s)
        self._look_for_strain(sample)
        if self._samples % _SETTLE_EVERY == 0:
            self._settle()
        self._samples += 1
        whole = self._kinds.whole
        spread = math.sqrt(sample.active) * (self._deviations * whole.growth_deviation + whole.swing_deviation)
        tokens = self._room.tokens(sample.time, self._patience.usual_s, spread, dead_first=self._frees_ended)
        if tokens is None or pool is None:
            return self._blind(sample)
        if self._host_tokens and self._lives >= _LIVES and self._all_tokens > tokens:
            tokens = min(tokens, self._room.busy_tokens(self._cycle.calling_share))
        limit = self._tokens_limit(None if self._aside else max(1, int(tokens)), pool, reason)
        keep_s = math.inf if self._patience.break_even_s is None else self._patience.break_even_s
        return limit._replace(together=self._company.calls, hold_s=self._company.hold_s, keep_s=keep_s)

    def _tokens_limit(self, tokens: int | None, pool: float, reason: str) -> Limit:
        """`reason`: the fill's, which may stay where it was while the limit moves. `tokens` None: nobody is held back."""
        before, self._limited = self._limited, None if tokens is None else (tokens, pool)
        if tokens is None:
            return Limit(reason="step-aside")
        if reason not in ("cut", "grow"):
            if before is None or before[1] != pool:
                reason = "pool"
            elif before[0] != tokens:
                reason = "reserve"
        return Limit(tokens=tokens, reason=reason)

    def _settle(self) -> None:
        dead = 0.0 if self._frees_ended else _DEAD_LIVES / max(1.0, self._kinds.whole.survival.mean_steps)
        touches = self._p.touch and not self._host_tokens  # a host tier brings back for little what was evicted
        self._patience.settle(dead, _TOUCH_TOKENS / max(_TOUCH_TOKENS, self._kinds.whole.mean_tokens) if touches else None)
        easier = 0.8 if self._aside else 1.0  # to stay there
        long = self._patience.long_share >= self._p.aside * easier
        self._light = not long and self._harmless_load() < self._harmless / easier
        self._aside = long or self._light

    def _look_for_strain(self, sample: Sample) -> None:
        """Nobody is held back, history is computed anew, and calls queue for it: so much of that was not harmless."""
        if not self._light:
            self._strained = 0.0
        elif sample.history_tokens and sample.missed_tokens is not None:
            missing = sample.missed_tokens > self._p.miss_high * sample.history_tokens
            self._strained += _STRAIN_SMOOTHING * ((missing and bool(sample.queued_requests)) - self._strained)
            if self._strained > _STRAIN:
                self._harmless, self._strained = self._harmless / 2, 0.0

    def _blind(self, sample: Sample) -> Limit:
        """Neither the size of the pool nor what it still holds is told."""
        if sample.prompt_tokens:
            self._replied = True
            self._replies_tell = self._replies_tell or sample.cached_tokens is not None
        if self._replies_tell or not self._replied:
            return Limit(agents=min(self._start.first, self._max_agents), reason="no-evidence")
        return Limit(agents=min(self._p.fallback, self._max_agents), reason=f"no cache evidence: fixed:{self._p.fallback}")

    # Who -------------------------------------------------------------------------------------------------------------

    def may_start(self, agent: AgentView, roster: Roster) -> bool:
        """Whether the foreseen peak of the active agents with this one is within the limit. With nobody active it always is.

        How long agents live is a guess until the first has ended; where nearly all would start it is not worth holding the last back for.
        A new one leaves room for those who are away in long tool calls; for one that returns they count as little as it did.
        """
        limit = roster.limit
        if len(roster.active) >= limit.agents:
            return False
        if not roster.active:
            return True
        if limit.tokens >= UNLIMITED:
            return self._sampled is not None or self._start.has_room(agent, roster.active.values())
        if self._start.too_many(agent, roster.active.values(), self._kinds.whole, self._room.pool_tokens):
            return False
        later: float = 0.0
        others: tuple[AgentView, ...] = ()
        if agent.steps == 0:
            later = self._p.away * self._cycle.holding_share
            others = tuple(roster.away.values())
        crowds = [Crowd(chain((agent,), roster.active.values()), 1.0, later), Crowd(others, 0.0, later)]
        return peak_tokens(crowds, self._kinds, self._in_flight_tokens, self._ahead(limit.tokens)) <= limit.tokens

    def _ahead(self, tokens: int) -> int | None:
        """Steps to be foreseen; None: all."""
        if self._ended:
            return None
        return steps_ahead(self._kinds.whole, self._agents, self._in_flight_tokens, tokens)

    def may_continue(self, agent: AgentView, roster: Roster) -> bool:
        """False for the newest whose contexts cover what is too much at present, or will be a step from now.

        Nobody pauses but at a boundary: by the time that the newest has come to one, all others have grown by a step.
        """
        if roster.limit.tokens >= UNLIMITED:
            return True
        whole, in_flight, active = self._kinds.whole, self._in_flight_tokens, roster.active
        comes_and_goes = whole.swing_deviation * math.sqrt(len(active))
        most = self._p.pause * roster.limit.tokens + comes_and_goes
        each = in_flight + whole.first_tokens + whole.growth_tokens - whole.shared_tokens
        if roster.committed_tokens + self._other_tokens + each * len(active) <= most:
            return True
        stays: dict[tuple[Kind, int, bool], float] = {}  # share of those with so many steps who hold their KV a step from now
        present = later = newer = own = 0.0
        oldest = True
        for view, kind, tokens in private_tokens(active.values(), self._kinds, in_flight):
            key = kind, view.steps + 1, is_last(view)
            if key not in stays:
                stays[key] = 0.0 if key[2] else (1.0 - kind.survival.hazard(key[1])) * (1.0 - kind.long_share)
            present += tokens
            later += stays[key] * (tokens + kind.growth_tokens)
            if view is agent:
                own = tokens
            elif view.order > agent.order:
                newer += tokens
            else:
                oldest = False
        if oldest or newer >= max(present, later) - most:
            return True
        self._room.left(roster.now, own)
        return False

    def next_returning(self, roster: Roster) -> AgentView | None:
        """The oldest, before anybody new: nobody waits for ever, as those before it end. Near the end whoever has the longest rest."""
        oldest = min(roster.paused.values(), key=lambda view: view.order, default=None)
        if oldest is None or not self._in_last_life(roster):
            return oldest
        back = max(roster.paused.values(), key=lambda view: (self._rest(view), -view.order))
        new = roster.new
        return back if new is None or self._rest(new) <= self._rest(back) or not self.may_start(new, roster) else None

    def _in_last_life(self, roster: Roster) -> bool:
        """Whether what is left to be done is no more than those who are under way would do in a life each, or little more."""
        return self._ended and self._lives_left(roster) < _LIVES

    def _rest(self, agent: AgentView) -> float:
        """Steps that it has before it, in the mean."""
        rest = self._kinds.of(agent).survival.rest(agent.steps)
        return rest if agent.most_steps is None else min(rest, max(0, agent.most_steps - agent.steps))

    def yielding(self, roster: Roster) -> Iterator[AgentView]:
        """Whose tool call has taken longer than keeping its KV is worth."""
        self._look_at(roster)
        long_s = self._patience.break_even_s
        if long_s is None:
            return
        for view in roster.active.values():
            if view.tool_started is None or roster.now - view.tool_started <= long_s:
                continue
            if view.calls or not view.tools:  # the agent's own work is no tool call
                continue
            if self._overdue.get(view.rollout) != view.tool_started:
                self._overdue[view.rollout] = view.tool_started
                self._patience.overdue()
            if not self._aside:
                yield view

    def touching(self, roster: Roster) -> Iterator[AgentView]:
        """Whose KV an engine that evicts by age may throw out before what is dead: so much has been left behind since it was used."""
        every_s = self._patience.touch_s
        if every_s is None or self._aside or roster.now - self._evicted > _CALM_S:
            return
        before = self._room.stale_before(roster.now, every_s)
        for view in roster.active.values():
            if view.tool_started is not None and not view.calls and (view.touched or view.tool_started) <= before:
                yield view

    def replied(self, agent: AgentView, *, replayed: bool = False) -> None:
        """Learn how contexts grow and that it goes on; and, of one that is not replayed, how often the engine replies."""
        if not replayed:
            self._company.replied()
        self._kinds.replied(agent)

    def tool_ended(self, agent: AgentView, seconds: float) -> None:
        """Learn how long tools take."""
        self._kinds.tool_ended(agent, long=self._were_long(agent, seconds))

    def _were_long(self, agent: AgentView, seconds: float) -> bool:
        """A step has ended with tools that took it so long."""
        overdue = self._overdue.pop(agent.rollout, None)
        if overdue is None or overdue != agent.tool_started:
            self._patience.ended(seconds)
        held_s = seconds if self._patience.break_even_s is None else min(seconds, self._patience.break_even_s)
        self._passed(0.0 if agent.tool_started is None else max(0.0, agent.tool_started - agent.last_boundary), held_s, seconds)
        return held_s < seconds

    def ended(self, agent: AgentView, roster: Roster) -> None:
        """Learn how long agents live. Its KV is dead from now on; an engine that knows it lets it go first."""
        self._ended = True
        self._kinds.ended(agent)
        if agent.tool_started is None:
            self._passed(max(0.0, roster.now - agent.last_boundary))
        elif not agent.tools:
            self._were_long(agent, max(0.0, agent.tool_back - agent.tool_started))
        self._overdue.pop(agent.rollout, None)
        if not self._frees_ended:
            self._room.left(roster.now, own_tokens(agent, self._kinds.of(agent)))

    def _passed(self, model_s: float, held_s: float = 0.0, tool_s: float = 0.0) -> None:
        """A step has been made. With nobody held back, queues may make it long, which is no reason to hold nobody back."""
        if not self._aside:
            self._cycle.passed(model_s, held_s, tool_s)

    # What is there ---------------------------------------------------------------------------------------------------

    @property
    def _in_flight_tokens(self) -> float:
        """Per model call under way, what its agent's context does not tell yet."""
        return self._under_way.tokens(self._kinds.whole.growth_tokens)

    def _look_at(self, roster: Roster) -> None:
        """Compare what the agents' contexts tell with what the engine tells."""
        active = roster.active.values()
        self._away, self._begun = len(roster.away), len(roster.active) + len(roster.away) + len(roster.paused)
        self._kinds.count_unheard(active)
        known = idle = 0.0
        calls = 0
        self._other_tokens = fsum(view.other_tokens for view in active)
        for view, _, tokens in private_tokens(active, self._kinds, 0.0):
            if view.calls:
                calls += 1
                known += tokens
            else:
                idle += tokens
        if self._host_tokens:
            self._lives_left(roster)
        others = chain(roster.away.values(), roster.paused.values())
        self._begun_tokens = known + idle + fsum(tokens for _, _, tokens in private_tokens(others, self._kinds, 0.0))
        self._calls = calls
        self._under_way.looked(calls, known, self._kinds.whole.shared_tokens)
        limit, present = roster.limit.tokens, known + idle + self._in_flight_tokens * calls
        self._used, self._present = None if limit >= UNLIMITED else present / limit, known + idle

    def _lives_left(self, roster: Roster) -> float:
        """What is left to be done, in lives of those who are under way. Where those who have not begun come to `_LIVES`, they alone are counted.
        Looked at once per sample.
        """
        if self._lives_looked != self._samples:
            self._lives_looked = self._samples
            life = self._kinds.whole.survival.rest(0)
            under_way = life * (len(roster.active) + len(roster.away))
            left = life * self._share * max(0, self._waiting - len(roster.paused))
            if left < _LIVES * under_way:
                begun = chain(roster.active.values(), roster.away.values(), roster.paused.values())
                left += fsum(self._rest(view) for view in begun)
            self._lives = left / under_way if under_way else math.inf
        return self._lives

    @property
    def _deviations(self) -> float:
        """Where the pool takes many steps to prefill, to have it too full costs more than to have it too empty."""
        step_s, whole_pool_s = self._cycle.step_s, self._patience.break_even_s
        if not step_s or whole_pool_s is None:
            return _LEAST_DEVIATIONS
        return min(_MOST_DEVIATIONS, max(_LEAST_DEVIATIONS, _DEVIATIONS * whole_pool_s / step_s))

    @property
    def _all_tokens(self) -> float:
        """Contexts of all agents, with nobody held back: what they come to in the mean, or as they are, if that is more, since near the end those
        who are left are old.
        """
        mean = self._kinds.whole.mean_tokens
        return max(self._agents * mean, self._begun_tokens + max(0, self._agents - self._begun) * mean)

    def _harmless_load(self) -> float:
        """The share of the engine's time that it would take to prefill every context anew at every step, with nobody held back."""
        pool, patience, step_s = self._room.pool_tokens, self._patience, self._cycle.step_s
        if patience.break_even_s is None or pool is None or not step_s:
            return math.inf
        return self._all_tokens * patience.break_even_s / pool / step_s
