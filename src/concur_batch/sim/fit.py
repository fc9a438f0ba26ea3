"""Coefficients of `FittedCost` from measured iterations: least squares of the relative errors, none below 0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from concur_batch.errors import EngineError
from concur_batch.sim.cost import FittedCost

# A backend is taken to go over cached prefixes in full only if the times do not fit well without (root mean square of the
# relative errors) and clearly better with it (squared errors).
_GOOD_ENOUGH = 0.01
_CLEARLY_BETTER = 0.5
_SINGULAR = 1e-12  # of a pivot in equations scaled to 1


@dataclass(frozen=True, slots=True)
class PrefillPoint:
    """Prefill iterations of one request each, as (new tokens, past tokens), and what they took together."""

    iterations: tuple[tuple[int, int], ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class DecodePoint:
    """Decode iterations: means over them."""

    batch: float
    context_tokens: float  # sum over the batch
    seconds: float  # of one iteration


class Fit(NamedTuple):
    """The cost and its relative errors at the points, in their order (above 0: the cost is too high)."""

    cost: FittedCost
    prefill_errors: tuple[float, ...]
    decode_errors: tuple[float, ...]


def fit_cost(prefills: Sequence[PrefillPoint], decodes: Sequence[DecodePoint]) -> Fit:
    """Raises EngineError where there are fewer points than coefficients."""
    if len(prefills) < 5 or len(decodes) < 3:
        raise EngineError(
            f"too few usable measurements to fit a cost model ({len(prefills)} of prefill, {len(decodes)} of decode): "
            "fit while nobody else uses the engine, or give it more time"
        )
    rows = [_prefill_row(point) for point in prefills]
    times = [point.seconds for point in prefills]
    prefill = [*least_squares([row[:4] for row in rows], times), 0.0]
    whole = least_squares(rows, times)
    without = _squares(rows, prefill, times)
    if without > len(rows) * _GOOD_ENOUGH**2 and _squares(rows, whole, times) < _CLEARLY_BETTER * without:
        prefill = whole
    decode = least_squares([_decode_row(point) for point in decodes], [point.seconds for point in decodes])
    cost = FittedCost(
        prefill_fixed_s=prefill[0],
        prefill_per_token_s=prefill[1],
        prefill_per_cached_pair_s=prefill[2],
        prefill_per_new_pair_s=prefill[3],
        prefill_per_whole_square_s=prefill[4],
        decode_fixed_s=decode[0],
        decode_per_request_s=decode[1],
        decode_per_context_token_s=decode[2],
    )
    return Fit(
        cost,
        tuple(sum(cost.prefill_s([item]) for item in point.iterations) / point.seconds - 1 for point in prefills),
        tuple(_product(_decode_row(point), decode) / point.seconds - 1 for point in decodes),
    )


def least_squares(rows: Sequence[Sequence[float]], targets: Sequence[float]) -> list[float]:
    """x >= 0 that makes the sum of (row . x / target - 1)^2 least; targets above 0.

    Exact for the handful of columns there are: the best of the plain solutions over all subsets of columns.
    """
    scaled = [[value / target for value in row] for row, target in zip(rows, targets, strict=True)]
    width = len(scaled[0])
    norms = [math.sqrt(sum(row[k] ** 2 for row in scaled)) for k in range(width)]
    usable = [k for k in range(width) if norms[k] > 0]
    unit = [[row[k] / norms[k] if norms[k] else 0.0 for k in range(width)] for row in scaled]
    gram = [[sum(row[i] * row[j] for row in unit) for j in range(width)] for i in range(width)]
    right = [sum(row[i] for row in unit) for i in range(width)]

    best, best_gain = [0.0] * width, 0.0
    for size in range(1, len(usable) + 1):
        for subset in combinations(usable, size):
            solution = solve([[gram[i][j] for j in subset] for i in subset], [right[i] for i in subset])
            if solution is None or min(solution) < 0:
                continue
            gain = sum(value * right[k] for k, value in zip(subset, solution, strict=True))  # what it takes off the squares
            if gain > best_gain * (1 + 1e-12):
                best, best_gain = [0.0] * width, gain
                for k, value in zip(subset, solution, strict=True):
                    best[k] = value / norms[k]
    return best


def solve(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float] | None:
    """x with matrix . x = right, by elimination with the largest pivot; None where the matrix is as good as singular."""
    size = len(right)
    work = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for k in range(size):
        pivot = max(range(k, size), key=lambda i: abs(work[i][k]))
        if abs(work[pivot][k]) < _SINGULAR:
            return None
        work[k], work[pivot] = work[pivot], work[k]
        for i in range(k + 1, size):
            factor = work[i][k] / work[k][k]
            for j in range(k, size + 1):
                work[i][j] -= factor * work[k][j]
    solution = [0.0] * size
    for k in reversed(range(size)):
        known = sum(work[k][j] * solution[j] for j in range(k + 1, size))
        solution[k] = (work[k][size] - known) / work[k][k]
    return solution


def _prefill_row(point: PrefillPoint) -> list[float]:
    """What `FittedCost` multiplies its prefill coefficients with."""
    items = point.iterations
    return [
        float(len(items)),
        float(sum(new for new, _ in items)),
        float(sum(new * past for new, past in items)),
        sum(new * new for new, _ in items) / 2,
        float(sum((new + past) ** 2 for new, past in items)),
    ]


def _decode_row(point: DecodePoint) -> list[float]:
    return [1.0, point.batch, point.context_tokens]


def _product(row: Sequence[float], coefficients: Sequence[float]) -> float:
    return sum(value * coefficient for value, coefficient in zip(row, coefficients, strict=True))


def _squares(rows: Sequence[Sequence[float]], coefficients: Sequence[float], targets: Sequence[float]) -> float:
    return sum((_product(row, coefficients) / target - 1) ** 2 for row, target in zip(rows, targets, strict=True))
