"""Anytime curves against integrals by hand and by quadrature, running times and expected bests against enumeration."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations
from statistics import fmean

import numpy as np
import pytest
from scipy.integrate import quad

from search.anytime import anytime_area, expected_best, mean_curve, score_at, time_to

CURVE = [(2.0, 0.5), (4.0, 0.7), (16.0, 0.9)]


def test_the_area_by_hand() -> None:
    """From 1 to 16 in octaves: one at the guess, one at .5, two at .7."""
    assert anytime_area(CURVE, 1.0, 16.0, 0.1) == pytest.approx((0.1 + 0.5 + 2 * 0.7) / 4)


@pytest.mark.parametrize(("first", "last"), [(0.5, 100.0), (3.0, 5.0), (16.0, 17.0), (4.0, 16.0)])
def test_the_area_is_the_integral(first: float, last: float) -> None:
    def best(log_cost: float) -> float:
        found = score_at(CURVE, math.exp(log_cost))
        return 0.1 if found is None else found

    edges = [math.log(cost) for cost, _ in CURVE if first < cost < last]
    whole, _ = quad(best, math.log(first), math.log(last), points=edges or None, limit=200)
    assert anytime_area(CURVE, first, last, 0.1) == pytest.approx(whole / math.log(last / first), rel=1e-6)


def test_the_mean_of_curves_begins_where_the_last_of_them_does() -> None:
    """At 3 both are there: (.5 + .2) / 2; a curve without a point says nothing."""
    other = [(3.0, 0.2), (4.0, 0.4), (20.0, 0.6)]
    expected = [(3.0, 0.35), (4.0, 0.55), (16.0, 0.65), (20.0, 0.75)]
    assert mean_curve([CURVE, other, []]) == [pytest.approx(point) for point in expected]
    assert list(mean_curve([CURVE])) == CURVE
    assert mean_curve([[]]) == mean_curve([]) == []


def test_a_curve_that_is_never_lower_has_no_smaller_area() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        costs, steps = np.sort(rng.uniform(1, 50, 6)), np.sort(rng.uniform(0, 1, 6))
        lower = list(zip(costs, steps - 0.1, strict=True))
        higher = list(zip(costs * rng.uniform(0.5, 1), steps, strict=True))
        assert anytime_area(higher, 1, 60, -1) >= anytime_area(lower, 1, 60, -1)


@pytest.mark.parametrize("limits", [(0.0, 1.0), (2.0, 2.0), (3.0, 1.0)])
def test_limits_that_are_none_are_refused(limits: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="must hold"):
        anytime_area(CURVE, *limits, 0.0)


def test_expected_running_time_by_hand() -> None:
    """Hits at 4 and 2, and one run of 10 that never does: (4 + 2 + 10) / 2."""
    found = time_to([CURVE, [(2.0, 0.8)], [(1.0, 0.3)]], [20.0, 20.0, 10.0], 0.7)
    assert (found.hits, found.runs, found.median, found.expected) == (2, 3, 3.0, 8.0)
    none = time_to([CURVE], [20.0], 0.95)
    assert (none.hits, none.median, none.expected) == (0, None, None)


def test_expected_running_time_is_what_restarts_cost() -> None:
    """A run hits at cost 1 with probability .3 and else ends at 5: mean cost of restarting until a hit, by simulation.

    20,000 restarts have a standard error of .09; the estimate from 20,000 runs one of .16. Four of both together: .75.
    """
    rng = np.random.default_rng(0)
    hits = rng.random(20_000) < 0.3
    found = time_to([[(1.0, 1.0)] if hit else [] for hit in hits], [1.0 if hit else 5.0 for hit in hits], 1.0)
    simulated = 5 * (rng.geometric(0.3, 20_000) - 1) + 1
    assert found.expected == pytest.approx(float(simulated.mean()), abs=0.75)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_the_expected_best_is_the_mean_over_all_subsets(count: int) -> None:
    scores = [0.3, 0.9, 0.1, 0.5, 0.5]
    subsets = [max(subset) for subset in combinations(scores, count)]
    assert expected_best(scores, count) == pytest.approx(fmean(subsets))


def test_the_expected_best_of_many_is_what_whole_numbers_say() -> None:
    """The weights as exact fractions; with 5,000 observations the binomials are no floats any more."""
    rng = np.random.default_rng(0)
    few = [float(score) for score in rng.normal(size=300)]
    for count in (1, 2, 17, 150, 299, 300):
        exact = sum(
            Fraction(score) * Fraction(math.comb(below, count - 1), math.comb(300, count))
            for below, score in enumerate(sorted(few))
        )
        assert expected_best(few, count) == pytest.approx(float(exact), rel=1e-9, abs=1e-12)
    many = [float(score) for score in rng.uniform(size=5000)]
    assert expected_best(many, 1) == pytest.approx(fmean(many), rel=1e-9)
    assert expected_best(many, 5000) == max(many)
    for count in (2, 70, 2500):  # of uniform draws: n / (n + 1), up to the luck of these 5,000, below .005
        assert expected_best(many, count) == pytest.approx(count / (count + 1), abs=0.02)


@pytest.mark.parametrize("count", [0, 4])
def test_more_trials_than_were_seen_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="must hold"):
        expected_best([0.1, 0.2, 0.3], count)
