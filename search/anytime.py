"""What a search had found by each cost: area under its curve, time to a score, and the best of n random trials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Curve = Sequence[tuple[float, float]]  # (cost, score) of each new best, both rising


def score_at(curve: Curve, cost: float) -> float | None:
    """The best score found at a cost or below; None before the first."""
    return next((score for spent, score in reversed(curve) if spent <= cost), None)


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean of several curves by cost, from where each of them has begun; those without a point are left out."""
    lines = [curve for curve in curves if curve]
    if not lines:
        return []
    begun = max(curve[0][0] for curve in lines)
    costs = sorted({begun, *(cost for curve in lines for cost, _ in curve if cost > begun)})
    levels = [[score for curve in lines if (score := score_at(curve, cost)) is not None] for cost in costs]
    return [(cost, math.fsum(level) / len(level)) for cost, level in zip(costs, levels, strict=True)]


def anytime_area(curve: Curve, first: float, last: float, before: float) -> float:
    """Mean of the best score so far over the logarithm of cost, in the unit of the score.

        A = 1 / (ln last - ln first) int_first^last a(c) d ln c

    Comparable between searches for equal limits only.

    Args:
        first, last: limits of the cost, 0 < first < last.
        before: what counts as the score where nothing was found yet, such as that of a guess.

    Raises:
        ValueError: the limits are none.
    """
    if not 0 < first < last:
        raise ValueError(f"0 < first < last must hold, but got ({first}, {last})")
    begun = score_at(curve, first)
    inside = [(cost, score) for cost, score in curve if first < cost < last]
    costs = [first, *(cost for cost, _ in inside), last]
    levels = [before if begun is None else begun, *(score for _, score in inside)]
    widths = [math.log(end / start) for start, end in pairwise(costs)]
    return math.fsum(w * a for w, a in zip(widths, levels, strict=True)) / math.log(last / first)


@dataclass(frozen=True, slots=True)
class TimeTo:
    """The cost to a score over several runs, of which some may never reach it.

    Args:
        hits: runs that did, of `runs`.
        median: of their own costs; None without any.
        expected: ERT (Hansen et al.): the cost of all runs until their hit or their end, over the hits; what repeated
            runs would cost until one reaches the score, if one that does not is no sign of the next. None without hits.
    """

    hits: int
    runs: int
    median: float | None
    expected: float | None


def time_to(curves: Sequence[Curve], ends: Sequence[float], score: float) -> TimeTo:
    """How dear a score is.

    Args:
        curves: of each run.
        ends: what each run has cost in all.
    """
    reached = [next((cost for cost, found in curve if found >= score), None) for curve in curves]
    hits = sorted(cost for cost in reached if cost is not None)
    if not hits:
        return TimeTo(0, len(curves), None, None)
    middle = len(hits) // 2
    median = hits[middle] if len(hits) % 2 else (hits[middle - 1] + hits[middle]) / 2
    paid = math.fsum(end if cost is None else cost for cost, end in zip(reached, ends, strict=True))
    return TimeTo(len(hits), len(curves), median, paid / len(hits))


def expected_best(scores: Sequence[float], count: int) -> float:
    """The mean best of `count` random trials, without bias, from N >= count observed ones (Tang et al. 2020).

        sum_{i >= n} v_(i) C(i - 1, n - 1) / C(N, n),   v_(1) <= ... <= v_(N)

    Valid for independent trials of one distribution only: random or quasi-random search without early stopping, never
    TPE, a population or a gradient.

    Raises:
        ValueError: fewer observations than trials, or no trial.
    """
    total = len(scores)
    if not 1 <= count <= total:
        raise ValueError(f"1 <= count <= {total} must hold, but got {count}")
    # From the best one down by the ratio of neighbours: the binomials themselves leave floats at about 1,030 trials.
    weight, terms = count / total, []
    for below, score in zip(range(total - 1, count - 2, -1), sorted(scores, reverse=True), strict=False):
        terms.append(weight * score)
        weight *= (below - count + 1) / below if below else 0.0
    return math.fsum(terms)
