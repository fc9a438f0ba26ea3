"""How many tokens of live contexts a pool may be filled with: learned from misses, less what dead KV takes. Pure."""

from __future__ import annotations

import math
from collections import deque
from math import fsum  # sum() rounds otherwise since Python 3.12
from typing import NamedTuple

from concur_batch.control.base import Sample
from concur_batch.control.forecast_parameters import ForecastParameters

_DEAD_WINDOW_S = 60.0  # over which the rate of dead KV is taken
_MOST_DEAD = 0.3  # of the pool
_LEAST_FREE = 0.02  # of the pool, besides what the fill leaves free, where nothing is left for dead KV
_LEAST_FILL = 0.05  # so that a pool told twenty times too large is found
_NEARLY_FULL = 0.9  # of the limit
_LOOSE = 1.2  # a limit that exceeds what is there by more is brought to that before it is cut
_FIRST_GUESS = 65_536  # tokens of a pool of unknown size
_DRAIN_S = 60.0  # after which misses are the new limit's fault, though there is more than it allows
_SURELY = 1.1  # so much more KV than the told pool can hold shows that it is larger


class _Point(NamedTuple):
    time: float
    history: int
    missed: int


class Room:
    """Told of the engine by `sampled`, of KV left behind by `left`; then `tokens`."""

    def __init__(self, parameters: ForecastParameters) -> None:
        self._p = parameters
        self.pool_tokens: float | None = None
        self.fill = parameters.fill
        self._points: deque[_Point] = deque()
        self._dead: deque[tuple[float, float]] = deque()
        self._adjusted: float | None = None
        self._told = False  # the engine has told the size of its pool
        self._evidence = False
        self._counts = False  # replies do not tell what was cached: the engine's counters stand in
        self._uncounted = self._unfresh = 0  # history, and the rest of the prompts, since the last reading of them
        self._guess = float(_FIRST_GUESS)
        self._over_s = 0.0  # missing, with more there than the limit allows
        self._clean = 0  # history replied since the last that was missed
        self._larger = 1.0  # the pool, than told
        self._host = 1.0  # pools that a host tier holds

    def left(self, time: float, tokens: float) -> None:
        """KV that nobody will use again soon, newer than that of agents in tool calls."""
        self._dead.append((time, tokens))

    def dead_tokens(self, time: float, seconds: float) -> float:
        """What is left behind in so many seconds, at the rate of the last minute or so."""
        window = max(_DEAD_WINDOW_S, 2 * seconds)
        while self._dead and self._dead[0][0] < time - window:
            self._dead.popleft()
        return fsum(tokens for _, tokens in self._dead) / window * seconds

    def stale_before(self, time: float, seconds: float) -> float:
        """The time at which KV must have been used last, or earlier, for more to have been left behind since than is in so many seconds, at
        the rate of the last minute or so. Where nothing has been left behind: so many seconds ago, as not all that is dead is known of.
        """
        tokens = self.dead_tokens(time, seconds)
        for when, left in reversed(self._dead):
            tokens -= left
            if tokens < 0.0:
                return when
        return time - seconds

    def tokens(self, time: float, usual_s: float, spread_tokens: float = 0.0, *, dead_first: bool = False) -> float | None:
        """For live contexts, so that KV which is not used for `usual_s` is found again, and so many more than foreseen have room.
        `dead_first`: the engine evicts dead KV before any other, so none has to be kept for it, and what the fill leaves free is there
        for those. None: nothing is known of the pool.
        """
        dead, pool = self.dead_tokens(time, usual_s), self.pool_tokens  # in any case: it forgets what is too old to count
        if pool is None:
            return None
        reserve = max(_LEAST_FREE * pool, spread_tokens - (1.0 - self._p.fill) * pool) if dead_first else max(dead, spread_tokens)
        return self.fill * pool - min(reserve, _MOST_DEAD * pool, 0.5 * self.fill * pool)

    def busy_tokens(self, calling_share: float) -> float:
        """Contexts that keep the pool full, of agents that are in model calls for that share of their time: a call needs its KV in the pool,
        however much a host tier holds besides.
        """
        return math.inf if self.pool_tokens is None else self.pool_tokens / calling_share

    def sampled(self, sample: Sample, interval_s: float, *, used: float | None, present: float = 0.0) -> str:
        """Follow the misses; returns the reason. `used`: contexts at present, of the limit; None: they have none. `present`: in
        tokens, of those that replies have told.
        """
        p = self._p
        self._size(sample)
        if sample.missed_tokens is None or sample.missed_tokens > p.miss_low * sample.history_tokens:
            self._clean = 0
        else:
            self._clean += sample.history_tokens
        history, missed = self._misses(sample)
        if not self._evidence or self.pool_tokens is None:
            return "hold"
        if history and missed > p.miss_high * history:
            if used is None or (self._adjusted is not None and sample.time - self._adjusted < p.window_s):
                return "cooldown"
            self._over_s = self._over_s + interval_s if used > 1.0 else 0.0
            if 0.0 < self._over_s <= _DRAIN_S:
                return "cooldown"  # the last cut still drains
            self._adjusted, self._over_s = sample.time, 0.0
            return self._cut(1.0 if sample.held else used)  # held, that little is there says nothing
        if missed <= p.miss_low * history:
            self._over_s = 0.0
            if sample.held_back:
                return "no-evidence"
            return self._rise(sample, interval_s, present if used is not None and used >= _NEARLY_FULL else None)
        return "hold"

    def _cut(self, used: float) -> str:
        if not self._told:
            self._guess = self.pool_tokens = max(self._guess * self._p.cut**3, 1024.0)
            return "cut"
        if self.fill <= _LEAST_FILL:
            return "hold"
        self.fill = max(_LEAST_FILL, self.fill * min(1.0, _LOOSE * used) * self._p.cut)
        return "cut"

    def _rise(self, sample: Sample, interval_s: float, full: float | None) -> str:
        """`full`: what is present, where that is about the limit."""
        p = self._p
        if not self._told:
            if full is None:
                return "hold"
            speed = 0.05 if self._adjusted is None else 0.004
            self._guess = self.pool_tokens = self._guess * (1.0 + speed * interval_s)
            return "grow"
        if full is not None and sample.resident and self.pool_tokens and not sample.host_tokens:
            shown = full / (sample.resident * self.pool_tokens)
            if shown > _SURELY and self._clean > full:  # each context has been found since, so all are there
                self._larger = max(self._larger, min(shown, self._larger * (1.0 + 2 * p.rise_per_s * interval_s)))
        top = p.fill * self._host * self._larger
        if self.fill >= top:
            return "hold"
        self.fill = min(top, self.fill + p.rise_per_s * self._host * self._larger * interval_s)
        return "grow"

    def _size(self, sample: Sample) -> None:
        if sample.capacity_tokens:
            pool = float(sample.capacity_tokens)
            if self._told and pool != self.pool_tokens:  # another server stands there
                self._larger, self.fill = 1.0, min(self.fill, self._p.fill * self._host)
            self._told, self.pool_tokens = True, pool
            host = max(1.0, sample.host_tokens / pool)  # a host tier holds what the pool holds, and more
            if host != self._host:
                self._host, self.fill = host, self.fill * host / self._host
        elif not self._told and sample.missed_tokens is not None and sample.history_tokens:
            self.pool_tokens = self._guess

    def _misses(self, sample: Sample) -> tuple[int, int]:
        """(history, missed) of the last seconds: from replies, or else from what the engine did not have to compute."""
        history, missed = sample.history_tokens, sample.missed_tokens
        if sample.prompt_tokens:
            self._counts = sample.cached_tokens is None
        if self._counts:  # what is computed in one interval is replied in another: only sums over time can be compared
            self._uncounted += history
            self._unfresh += sample.prompt_tokens - history
            missed = None
            if sample.prefill_tokens is not None:
                history, missed = self._uncounted, sample.prefill_tokens - self._unfresh
                self._uncounted = self._unfresh = 0
        if missed is not None:
            self._evidence = self._evidence or history > 0
            self._points.append(_Point(sample.time, history, missed))
        while self._points and self._points[0].time <= sample.time - self._p.window_s:
            self._points.popleft()
        return sum(point.history for point in self._points), sum(point.missed for point in self._points)
