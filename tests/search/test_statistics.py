"""Intervals and tests against SciPy, statsmodels, closed forms and simulation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from search.statistics import Paired, detectable, estimate, holm, paired, pairs_needed

VALUES = (0.81, 0.84, 0.80, 0.87, 0.85)


def test_the_interval_is_scipys() -> None:
    found = estimate(VALUES)
    assert found is not None
    expected = stats.ttest_1samp(VALUES, 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert found.mean == pytest.approx(np.mean(VALUES), rel=1e-15)


def test_three_values_by_hand() -> None:
    """0, 1, 2: mean 1, s = 1, t_{0.975, 2} = 4.302653, half-width t / sqrt(3)."""
    found = estimate((0.0, 1.0, 2.0))
    assert found is not None
    assert found.high == pytest.approx(1 + 4.302652729911275 / math.sqrt(3))


def test_one_value_has_no_interval_and_none_no_estimate() -> None:
    found = estimate((0.5,))
    assert found is not None
    assert (found.mean, found.low, found.high, found.count) == (0.5, None, None, 1)
    assert estimate(()) is None


def coverage(interval: Callable[[list[float]], tuple[float, float]], seeds: int) -> float:
    """Share of 4,000 draws whose interval holds the true mean."""
    draws = np.random.default_rng(5).normal(0.8, 0.03, (4000, seeds))
    ends = [interval(list(row)) for row in draws]
    return float(np.mean([low <= 0.8 <= high for low, high in ends]))


def ours(values: list[float]) -> tuple[float, float]:
    found = estimate(values)
    assert found is not None and found.low is not None and found.high is not None
    return found.low, found.high


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_intervals_hold_the_truth_as_often_as_they_say(seeds: int) -> None:
    """The share's standard error is .0034; four of them, a false alarm of 6e-5; the normal quantile does not."""
    assert coverage(ours, seeds) == pytest.approx(0.95, abs=0.0138)

    def short(values: list[float]) -> tuple[float, float]:
        half = 1.96 * float(np.std(values, ddof=1)) / math.sqrt(len(values))
        return float(np.mean(values)) - half, float(np.mean(values)) + half

    assert coverage(short, seeds) < 0.95 - 0.0138


def test_the_paired_test_is_scipys() -> None:
    other = (0.80, 0.81, 0.80, 0.82, 0.86)
    found = paired(VALUES, other)
    expected = stats.ttest_rel(VALUES, other)
    assert found is not None
    assert found.p == pytest.approx(expected.pvalue, rel=1e-10)
    interval = expected.confidence_interval(0.95)
    assert (found.difference.low, found.difference.high) == pytest.approx((interval.low, interval.high))


def test_pairing_matters() -> None:
    """A constant gain under large common noise is found by pairs and lost without them."""
    noise = np.array([0.1, 0.5, 0.9, 0.3])
    gain = np.array([0.020, 0.021, 0.019, 0.020])
    found = paired(list(noise + gain), list(noise))
    assert found is not None
    assert found.p < 0.001
    assert stats.ttest_ind(noise + gain, noise).pvalue > 0.9


def test_equal_scores_differ_by_nothing() -> None:
    found = paired(VALUES, VALUES)
    assert found is not None
    assert (found.p, found.difference.mean, found.sd) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize("count", [2, 3, 6])
def test_equal_differences_are_no_certainty(count: int) -> None:
    """The same gain on every seed, up to float32 noise: 2^(1-n), not p = 0."""
    scores = [float(np.float32((300 + 7 * k) / 360)) for k in range(count)]
    gained = [float(np.float32((303 + 7 * k) / 360)) for k in range(count)]
    found = paired(gained, scores)
    assert found is not None
    assert found.by_sign
    assert found.p == 2.0 ** (1 - count)


def test_fewer_than_two_pairs_are_no_test() -> None:
    assert paired((0.5,), (0.4,)) is None
    with pytest.raises(ValueError, match="zip"):
        paired((0.5, 0.6), (0.4,))


def test_holm_by_hand() -> None:
    """Sorted 0.01, 0.02, 0.03, 0.2 times 4, 3, 2, 1, then made to rise, in the order given."""
    assert holm([0.03, 0.01, 0.2, 0.02]) == pytest.approx([0.06, 0.04, 0.2, 0.06])
    assert holm([]) == []
    assert holm([0.8, 0.9]) == [1.0, 1.0]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_holm_is_that_of_statsmodels(count: int) -> None:
    p_values = list(np.random.default_rng(count).random(count) ** 3)
    assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]))


@pytest.mark.parametrize("pairs", [4, 5, 10, 40])
def test_the_detectable_difference_is_that_of_statsmodels(pairs: int) -> None:
    expected = TTestPower().solve_power(nobs=pairs, alpha=0.05, power=0.8)
    assert detectable(0.5, pairs) == pytest.approx(0.5 * float(expected), rel=1e-4)


@pytest.mark.parametrize("pairs", [2, 3])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_the_detectable_difference_is_found_in_four_of_five(pairs: int, alpha: float) -> None:
    """20,000 draws: the power's standard error is 0.0028, the tolerance four of them (false alarm 6e-5)."""
    least = detectable(2.0, pairs, alpha)
    assert least is not None
    draws = np.random.default_rng(3).normal(least, 2.0, (20_000, pairs))
    power = np.mean(stats.ttest_1samp(draws, 0.0, axis=1).pvalue <= alpha)
    assert power == pytest.approx(0.8, abs=0.0115)


@pytest.mark.parametrize(("sd", "pairs"), [(0.0, 3), (1.0, 1)])
def test_without_spread_or_pairs_nothing_is_said_of_power(sd: float, pairs: int) -> None:
    assert detectable(sd, pairs) is None


@pytest.mark.parametrize("difference", [0.2, -0.5, 1.0, 3.0])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_the_seeds_that_a_difference_needs_are_those_of_statsmodels(difference: float, alpha: float) -> None:
    """Its number is real, ours the next whole one; below three pairs its solver does not go."""
    expected = float(TTestPower().solve_power(effect_size=abs(difference), alpha=alpha, power=0.8))
    found = pairs_needed(1.0, difference, alpha)
    assert found == math.ceil(expected - 1e-6)
    least, fewer = detectable(1.0, found, alpha), detectable(1.0, found - 1, alpha)
    assert least is not None and fewer is not None and least <= abs(difference) < fewer


def test_no_difference_needs_no_number_of_seeds_and_no_spread_those_of_the_sign_flip_test() -> None:
    assert pairs_needed(1.0, 0.0) is None
    assert pairs_needed(1.0, 1e-9) is None, "more than anybody will run"
    assert pairs_needed(0.0, 0.1) == 6
    five, six = (paired([0.3] * count, [0.2] * count) for count in (5, 6))
    assert five is not None and six is not None and five.p > 0.05 >= six.p


def unpaired(a: list[float], b: list[float]) -> Paired | None:
    """A broken test: takes the noise of the pairs for independent of each other."""
    difference = estimate([x - y for x, y in zip(a, b, strict=True)])
    assert difference is not None
    p = float(stats.norm.sf(abs(difference.mean) / 0.01) * 2)
    return Paired(difference, 0.01, p)


def false_alarms(test: Callable[[list[float], list[float]], Paired | None], sweeps: int = 3000) -> float:
    """Share of p <= 0.05 where both rows are drawn alike, at three seeds with a common part."""
    generator = np.random.default_rng(11)
    common = generator.normal(0.8, 0.05, (sweeps, 1, 3))
    rows = common + generator.normal(0.0, 0.02, (sweeps, 2, 3))
    found = [test(list(a), list(b)) for a, b in rows]
    return float(np.mean([one is not None and one.p <= 0.05 for one in found]))


def test_the_false_alarm_rate_is_the_promised_one() -> None:
    """3,000 sweeps: standard error 0.004, tolerance four of them (false alarm 6e-5)."""
    assert false_alarms(paired) == pytest.approx(0.05, abs=0.016)
    assert false_alarms(unpaired) > 0.1  # negative control


def test_the_resolution_is_that_of_the_scores_and_not_one_for_all() -> None:
    """Losses of 1e-7 in some unit differ as the same losses times a million do; float32's own rounding does not."""
    a, b = (3.0, 3.2, 2.9, 3.4), (2.0, 2.1, 2.2, 1.9)
    large, small = paired(a, b), paired([1e-7 * x for x in a], [1e-7 * x for x in b])
    assert large is not None and small is not None
    assert small.p == pytest.approx(large.p) and not small.by_sign
    rounded = paired([0.8 + 1e-8 * x for x in a], [0.8 + 1e-8 * x for x in b])
    assert rounded is not None and rounded.by_sign and rounded.p == 1
