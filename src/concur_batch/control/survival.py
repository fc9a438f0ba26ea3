"""How many steps agents make: the product-limit estimate (Kaplan and Meier, 1958), agents that still run being censored. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from concur_batch.control.lengths import Lengths, usual_hazard

_LEAST_STEPS = 10  # of the estimate
_PRIOR_AGENTS = 8.0  # what the prior counts for
_MOST_STEPS = 1_000  # told apart; whoever has made more is as one who has made so many
_LEAST_HAZARD = 0.01  # of the tail that goes on for ever, when its mean is taken
_MOST_HAZARD = 0.999
_LEAST_SHARE = 1e-200  # so that ratios of shares can be had


class Survival:
    """Told of every agent by `goes_on`, `stepped` and `ended`. `prior`: the hazard by steps where nothing is known."""

    def __init__(self, prior: Callable[[int], float] = usual_hazard) -> None:
        self._prior = prior
        self._lengths = Lengths(prior)
        self._decided = [0, 0]  # by steps: agents that ended then, or made another
        self._ended = [0, 0]  # of them, those that ended
        self._shares: list[float] = []
        self._told = 0  # of these, those that something is known of
        self._onwards = 1.0
        self._mean = 0.0
        self._plain: tuple[list[float], float] | None = None
        self._rests: list[float] | None = None
        self._stale = True

    def goes_on(self, steps: int) -> None:
        """An agent has not ended after so many steps, and is about the next."""
        self._lengths.seen(steps, 0)
        self._stale = True

    def stepped(self, steps: int) -> None:
        """An agent has made its `steps`-th step: it did not end after the one before."""
        self._count(steps - 1, 0)

    def ended(self, steps: int) -> None:
        """An agent has ended after so many steps."""
        self._lengths.seen(steps, 1)
        self._count(steps, 1)

    def reconsider(self) -> None:
        """The prior may have changed."""
        self._stale, self._plain = True, None

    def shares(self, steps: int) -> Sequence[float]:
        """`shares[k]`, for k up to `steps` at least: of all agents, those who do not end in their first k-1 steps.

        Beyond what has been seen the last hazard goes on.
        """
        if self._stale:
            self._estimate()
        shares = self._shares
        while len(shares) <= steps:
            shares.append(max(shares[-1] * self._onwards, _LEAST_SHARE))
        return shares

    @property
    def mean_steps(self) -> float:
        """Steps of an agent, in the mean."""
        if self._stale:
            self._estimate()
        return self._mean

    def rest(self, steps: int) -> float:
        """Steps that are still to come for an agent that has made so many and goes on, in the mean."""
        if self._stale or self._rests is None:
            self.shares(1)
            shares = self._shares[: self._told]
            left = shares[-1] * self._onwards / max(1.0 - self._onwards, _LEAST_HAZARD)
            sums = [left := left + share for share in reversed(shares)]
            self._rests = [whole / share for whole, share in zip(reversed(sums), shares, strict=True)]
        return self._rests[min(max(steps, 0) + 1, len(self._rests) - 1)]

    def hazard(self, steps: int) -> float:
        """Of those who get so far, the share that ends after exactly so many steps."""
        k = min(max(steps, 0), _MOST_STEPS)
        shares = self.shares(k + 1)
        return 1.0 - shares[k + 1] / shares[k]

    def plain_hazard(self, steps: int) -> float:
        """The same without what one step tells of others: for agents of another kind, which may be of another length."""
        if self._plain is None:
            shares, onwards, _ = self._estimated(self._prior)
            self._plain = shares, onwards
        shares, onwards = self._plain
        return 1.0 - (shares[steps + 1] / shares[steps] if steps + 1 < len(shares) else onwards)

    def _count(self, steps: int, ended: int) -> None:
        steps = min(max(steps, 0), _MOST_STEPS)
        while len(self._decided) <= steps:
            self._decided.append(0)
            self._ended.append(0)
        self._decided[steps] += 1
        self._ended[steps] += ended
        self._stale, self._plain = True, None

    def _estimate(self) -> None:
        self._shares, self._onwards, self._mean = self._estimated(self._lengths.hazard())
        self._told = len(self._shares)
        self._stale, self._rests = False, None

    def _estimated(self, prior_hazard: Callable[[int], float]) -> tuple[list[float], float, float]:
        """(shares, share of those beyond that go on with each step, mean steps)."""
        shares, share, prior_share, mean, hazard = [1.0], 1.0, 1.0, 0.0, 0.0
        for steps in range(_MOST_STEPS + 2):
            prior = prior_hazard(steps)
            weight = _PRIOR_AGENTS * prior_share
            decided, ended = (self._decided[steps], self._ended[steps]) if steps < len(self._decided) else (0, 0)
            whole = decided + weight
            hazard = min((ended + weight * prior) / whole if whole > 1e-6 else prior, _MOST_HAZARD)
            if steps:
                mean += share
            share = max(share * (1.0 - hazard), _LEAST_SHARE)
            prior_share *= 1.0 - prior
            shares.append(share)
            if steps > max(len(self._decided) - 2, _LEAST_STEPS) and prior > 0.0:  # from here on hardly anything changes
                break
        return shares, 1.0 - hazard, mean + share / max(hazard, _LEAST_HAZARD)
