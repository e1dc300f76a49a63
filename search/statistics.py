"""Intervals and paired tests over seeds: what a table may claim."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import chi2
from scipy.stats import t as student

CONFIDENCE = 0.95
ALPHA = 0.05
POWER = 0.8
# Scores are means taken in float32: what differs by less than this share of them does not differ.
RESOLUTION = 1e-6
MOST_PAIRS = 2**20
NODES, WEIGHTS = np.polynomial.legendre.leggauss(200)  # on [-1, 1]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % t-interval; without an interval where one value tells no spread."""

    mean: float
    low: float | None
    high: float | None
    count: int


@dataclass(frozen=True, slots=True)
class Paired:
    """Differences of pairs and their two-sided test.

    Args:
        difference: mean of a - b with its interval, for this pair of rows alone.
        sd: of the differences, with n - 1.
        p: before any correction.
        by_sign: p comes from the sign-flip test, since equal differences show no spread.
    """

    difference: Estimate
    sd: float
    p: float
    by_sign: bool = False


def estimate(values: Sequence[float]) -> Estimate | None:
    """Mean and mean +/- t_{0.975, n-1} s / sqrt(n); None for no values, no interval for one."""
    if not values:
        return None
    mean, count = math.fsum(values) / len(values), len(values)
    if count == 1:
        return Estimate(mean, None, None, 1)
    half = float(student.ppf((1 + CONFIDENCE) / 2, count - 1)) * _sd(values) / math.sqrt(count)
    return Estimate(mean, mean - half, mean + half, count)


def paired(a: Sequence[float], b: Sequence[float]) -> Paired | None:
    """The paired t-test of a against b; None for fewer than two pairs.

    Differences without spread leave t undefined. All zero: p = 1. All equal but not zero: the exact sign-flip
    test, p = 2^(1-n), since a spread below the resolution of the scores must not pass for certainty.

    Raises:
        ValueError: a and b are not of one length.
    """
    differences = [x - y for x, y in zip(a, b, strict=True)]
    found = estimate(differences)
    if found is None or found.count < 2:
        return None
    sd, least = _sd(differences), RESOLUTION * max(map(abs, (*a, *b)))
    if sd <= least:
        if abs(found.mean) <= least:
            return Paired(found, 0.0, 1.0, by_sign=True)
        return Paired(found, 0.0, 2.0 ** (1 - found.count), by_sign=True)
    t = found.mean * math.sqrt(found.count) / sd
    return Paired(found, sd, float(2 * student.sf(abs(t), found.count - 1)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values (Holm 1979): compared with alpha, they keep the family-wise error rate at alpha.

    With p_(1) <= ... <= p_(m): p~_(i) = max over j <= i of min(1, (m - j + 1) p_(j)). Not statsmodels' own,
    which the tests compare with: that one collects the garbage of the whole process at every call.
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.arange(len(order), 0, -1) * np.asarray(p_values, dtype=np.float64)[order]
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return [float(p) for p in adjusted]


def detectable(sd: float, pairs: int, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """The true difference that a two-sided paired t-test finds with the given power.

    Solves P(|T| > t_{1-alpha/2, n-1}) = power for delta, with T noncentral t of n - 1 degrees of freedom and
    noncentrality delta sqrt(n) / sd. None for fewer than two pairs or no spread.

    Args:
        sd: of the differences.
        pairs: n.
    """
    if pairs < 2 or sd <= 0:
        return None
    freedom = pairs - 1
    # SciPy's noncentral t is NaN far out, so |Z + shift| > t sqrt(V / f) is integrated over V's quantiles.
    critical = float(student.ppf(1 - alpha / 2, freedom))
    spread = critical * np.sqrt(chi2.ppf((NODES + 1) / 2, freedom) / freedom)

    def lacking(shift: float) -> float:
        return float(WEIGHTS @ (ndtr(shift - spread) + ndtr(-shift - spread)) / 2) - power

    shift = brentq(lacking, 0.0, 10 + float(spread.max()), rtol=1e-9)
    return float(shift) * sd / math.sqrt(pairs)


def pairs_needed(sd: float, difference: float, alpha: float = ALPHA, power: float = POWER) -> int | None:
    """The fewest pairs with which a two-sided paired t-test finds a true difference with the given power.

    None where there is no difference, or where it takes more than a million pairs.

    Args:
        sd: of the differences; with 0 as many as the sign-flip test needs.
        difference: of either sign, in the same unit.
    """
    if difference == 0:
        return None
    if sd <= 0:
        return 1 + math.ceil(math.log2(1 / alpha))  # 2^(1-n) <= alpha
    low, high = 1, 2  # `low` pairs are too few

    def enough(pairs: int) -> bool:
        least = detectable(sd, pairs, alpha, power)
        return least is not None and least <= abs(difference)

    while not enough(high):
        low, high = high, 2 * high
        if high > MOST_PAIRS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _sd(values: Sequence[float]) -> float:
    return float(np.std(np.asarray(values, dtype=np.float64), ddof=1))
