"""research"""
from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

from concur_batch.control.base import UNLIMITED, Admission, AgentView, Limit, Roster, Sample
from concur_batch.control.survival import Survival

PAR = dict(rho=0.94, rho_close=0.94, aq=0.95, hi=1.03, infl=0.9, dead_w=60.0, z=0.5, points=16, miss_hi=0.10, miss_lo=0.02, cut=0.93, rise=0.01, bypass=0.5, window=10.0, g_prior=32.0, g0=1.0, pulse=0.0)


class Kind:
    """What one group of tasks is like."""
    def __init__(self, prior=None):
        self.survival = Survival(prior.survival.hazard) if prior else Survival()
        self.prior = prior
        self.first_n = 0; self.first_sum = 0.0
        self.g_n = 0; self.g_sum = 0.0; self.g_sq = 0.0
        self.shared = deque(maxlen=32)
        self.long = 0.0; self.short = 0.0

    def replied(self, v):
        if v.steps == 1:
            self.first_n += 1
            self.first_sum += v.context_tokens
            if v.shared_tokens: self.shared.append(v.shared_tokens)
        else:
            self.g_n += 1
            self.g_sum += v.growth_tokens
            self.g_sq += v.growth_tokens ** 2
        self.survival.stepped(v.steps)

    @property
    def shared_tokens(self):
        s = sorted(self.shared)
        if not s: return 0
        return min(s[len(s)//2], int(self.first))

    @property
    def first(self):
        return self.first_sum / self.first_n if self.first_n else 4096.0

    @property
    def growth(self):
        prior = max(64.0, PAR['g0'] * (self.first - self.shared_tokens))
        w = PAR['g_prior']
        return (self.g_sum + w * prior) / (self.g_n + w)

    @property
    def growth_sq(self):
        g = self.growth
        if not self.g_n: return g*g
        m = self.g_sum/self.g_n
        return max(g*g*0.1, self.g_sq/self.g_n - m*m)

    @property
    def long_share(self):
        n = self.long + self.short
        return self.long / n if n >= 8 else 0.0


class Forecast(Admission):
    def __init__(self, parameters, max_agents):
        self.max_agents = max_agents
        self.p = {**PAR, **parameters}
        PAR.update(parameters)
        self.pool = None
        self.rho = None
        self.rho0 = self.p['rho']
        self.points: deque = deque()
        self.last = None
        self.adjusted = None
        self.pf = 0.0; self.pb = 0.0
        self.kind = Kind()
        self.ttl = None
        self.now = 0.0
        self.reason = 'first'
        self.long_seen = {}
        self.bypass = False
        self.left = deque(); self.left_sum=0.0
        self.tools = deque(maxlen=512); self.close=False; self.aq=None; self.tick=0

    @property
    def first(self) -> Limit:
        return Limit(agents=16, reason='first')

    def update(self, s: Sample) -> Limit:
        p = self.p
        self.now = s.time
        if s.capacity_tokens: self.pool = s.capacity_tokens
        self.close = s.frees_ended
        self.rho0 = p['rho_close'] if s.frees_ended else p['rho']
        if self.rho is None: self.rho = self.rho0
        if s.prefill_tokens and s.prefill_busy_seconds:
            self.pf = 0.998*self.pf + s.prefill_tokens; self.pb = 0.998*self.pb + s.prefill_busy_seconds
        if self.pb > 1.0 and self.pool:
            self.ttl = self.pool / (self.pf / self.pb)
        self.points.append((s.time, s.history_tokens, s.missed_tokens or 0))
        dt = s.time - (self.last if self.last is not None else s.time - 1); self.last = s.time
        while self.points and self.points[0][0] <= s.time - p['window']: self.points.popleft()
        if self.pool is None: return Limit(agents=min(16,self.max_agents), reason='no-evidence')
        h = sum(x[1] for x in self.points); m = sum(x[2] for x in self.points)
        reason = 'hold'
        if self.adjusted is None or s.time - self.adjusted >= p['window']*0.95:
            if h and m / h > p['miss_hi']:
                self.rho *= p['cut']; self.adjusted = s.time; reason = 'cut'
        if not h or m / h < p['miss_lo']:
            top = self.rho0 * (1 + s.host_tokens / self.pool)
            if self.rho < top: self.rho = min(top, self.rho + p['rise'] * dt); reason = 'grow'
        self.bypass = self.kind.long_share >= p['bypass']
        if self.bypass: return Limit(reason='step-aside')
        self.tick += 1
        if self.tick % 5 == 1 and self.tools:
            srt = sorted(self.tools); self.aq = srt[min(len(srt)-1, int(p['aq']*len(srt)))]
        dead = self.dead(s.time)
        self.dead_now = dead
        return Limit(tokens=int(self.rho * self.pool - min(dead, 0.3*self.pool)), reason=reason)

    def abandoned(self, v):
        self.left.append((self.now, v.context_tokens - self.kind.shared_tokens))

    def dead(self, now):
        """KV given up within the longest usual tool call."""
        a = self.aq or 0.0
        if self.ttl is not None: a = min(a, self.ttl)
        w = max(self.p['dead_w'], 2*a)
        while self.left and self.left[0][0] < now - w: self.left.popleft()
        rate = sum(x[1] for x in self.left) / w
        recent = sum(x[1] for x in self.left if x[0] > now - a)
        return max(rate * a, recent) if self.p.get('dmax') else rate*a

    # --- projection
    def need(self, views, extra) -> float:
        kind = self.kind
        logs = kind.survival.logs(); last = len(logs) - 1
        slope = logs[last] - logs[last-1]
        g = kind.growth; g2 = kind.growth_sq; shared = kind.shared_tokens; first = kind.first - shared
        fl = self.p['infl'] * g
        buckets: dict = {}
        for v in views:
            k = v.steps
            c = v.context_tokens - shared if k else first
            if v.calls and k: c += fl
            b = buckets.get(k)
            if b is None: buckets[k] = [1, c, c*c]
            else:
                b[0] += 1; b[1] += c; b[2] += c*c
        if extra is not None:
            k = extra.steps; c = max(0, extra.context_tokens - shared) if k else first
            b = buckets.setdefault(k, [0,0.0,0.0]); b[0]+=1; b[1]+=c; b[2]+=c*c
        n_all = sum(b[0] for b in buckets.values())
        horizon = 2 * kind.survival.mean_steps
        n = self.p['points']
        drop = math.log1p(-min(0.999, kind.long_share))
        z = self.p['z']
        best = 0.0
        def log_at(i):
            return logs[i] if i <= last else logs[last] + (i-last)*slope
        items = [(k, b[0], b[1], b[2], log_at(k)) for k, b in buckets.items()]
        exp = math.exp
        for j in range(n):
            tau = horizon * j / (n - 1)
            t0 = int(tau); f = tau - t0
            m = 0.0; var = tau * n_all * g2
            gt = g * tau
            for k, cnt, c1, c2, l0 in items:
                i = k + t0
                if i + 1 <= last: l = logs[i] + f*(logs[i+1]-logs[i])
                else: l = log_at(i) + f*slope
                pr = exp(l - l0 + drop * tau)
                m += pr * (c1 + cnt*gt)
                var += pr*(1-pr)*(c2 + 2*gt*c1 + cnt*gt*gt)
            best = max(best, m + z*math.sqrt(var))
        return best + shared

    def may_start(self, agent: AgentView, roster: Roster) -> bool:
        limit = roster.limit
        if len(roster.active) >= limit.agents: return False
        if not roster.active: return True
        if limit.tokens >= UNLIMITED: return True
        return self.need(roster.active.values(), agent) <= limit.tokens

    def may_continue(self, agent: AgentView, roster: Roster) -> bool:
        limit = roster.limit
        if limit.tokens >= UNLIMITED: return True
        limit = limit._replace(tokens=limit.tokens*self.p['hi'])
        shared = self.kind.shared_tokens
        fl = self.p['infl'] * self.kind.growth
        n = len(roster.active)
        private = roster.committed_tokens - shared * max(0, n - 1)
        if private + fl*n <= limit.tokens: return True
        private += fl * sum(1 for v in roster.active.values() if v.calls and v.steps) + sum(self.kind.first for v in roster.active.values() if not v.steps)
        surplus = private - limit.tokens
        if surplus <= 0: return True
        left = len(roster.active)
        for c in sorted(roster.active.values(), key=lambda v: -v.order):
            if surplus <= 0 or left == 1: return True
            if c is agent:
                self.abandoned(agent); return False
            surplus -= c.context_tokens - shared + (fl if c.calls else 0); left -= 1
        return True

    def next_returning(self, roster):
        if not roster.paused: return None
        return min(roster.paused.values(), key=lambda v: v.order)

    def yielding(self, roster: Roster) -> Iterable[AgentView]:
        if self.ttl is None: return
        for v in roster.active.values():
            if v.tool_started is not None and roster.now - v.tool_started > self.ttl:
                if self.long_seen.get(v.rollout) != v.steps:
                    self.long_seen[v.rollout] = v.steps
                    self.kind.long += 1
                if not self.bypass: yield v

    def replied(self, v): self.kind.replied(v)
    def tool_ended(self, v, seconds):
        self.tools.append(seconds)
        if self.ttl is not None and seconds <= self.ttl: self.kind.short += 1
        self.long_seen.pop(v.rollout, None)
    def ended(self, v):
        self.kind.survival.ended(v.steps)
        if not self.close: self.abandoned(v)
