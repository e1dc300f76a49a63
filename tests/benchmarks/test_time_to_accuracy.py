"""Costs to an accuracy, from curves whose answer is known."""

from __future__ import annotations

import math
from typing import Any

import pytest
from time_to_accuracy import cost_to, curve, faster, targets


def rows(method: str, seed: int, accuracies: list[float], unit: float = 1.0) -> list[dict[str, Any]]:
    return [
        {"method": method, "seed": seed, "horizon": 10**k, "accuracy": accuracy, "flops": unit * 10**k}
        for k, accuracy in enumerate(accuracies, 1)
    ]


def test_between_two_lengths_cost_is_interpolated_in_its_logarithm() -> None:
    points = [(10.0, 0.5), (1000.0, 0.7)]
    assert cost_to(points, 0.6) == pytest.approx(100.0)
    assert cost_to(points, 0.7) == pytest.approx(1000.0)
    assert cost_to(points, 0.4) == 10.0, "the shortest training is the cheapest there is"
    assert cost_to(points, 0.71) is None


def test_the_first_crossing_counts_and_a_dip_before_it_is_no_harm() -> None:
    assert cost_to([(1.0, 0.5), (10.0, 0.4), (100.0, 0.8), (1000.0, 0.2)], 0.6) == pytest.approx(10 ** 1.5)


def test_a_curve_is_the_mean_by_length() -> None:
    both = rows("a", 0, [0.5, 0.7]) + rows("a", 1, [0.7, 0.9], unit=3.0)
    assert curve(both) == [(20.0, pytest.approx(0.6)), (200.0, pytest.approx(0.8))]


def test_a_planted_ratio_of_costs_is_found_with_its_interval() -> None:
    """Theirs costs 8 times as much on one seed and 2 times on the other: 4 in the geometric mean."""
    some = [*rows("ours", 0, [0.5, 0.7]), *rows("ours", 1, [0.5, 0.7])]
    other = [*rows("theirs", 0, [0.5, 0.7], unit=8.0), *rows("theirs", 1, [0.5, 0.7], unit=2.0)]
    ratio, ours, theirs = faster([*some, *other], "ours", "theirs", 0.6)
    assert (ours, theirs) == (2, 2)
    assert ratio is not None
    assert ratio.mean == pytest.approx(4.0)
    half = 12.706 * math.log(2)  # t of one degree of freedom; the logs deviate by log 2 from their mean
    assert ratio.high == pytest.approx(4.0 * math.exp(half), rel=1e-3)
    turned, _, _ = faster([*some, *other], "theirs", "ours", 0.6)
    assert turned is not None
    assert turned.mean == pytest.approx(0.25)


def test_seeds_that_do_not_arrive_are_counted_and_left_out() -> None:
    some = [*rows("ours", 0, [0.5, 0.7]), *rows("ours", 1, [0.5, 0.55])]
    other = [*rows("theirs", 0, [0.5, 0.6]), *rows("theirs", 1, [0.5, 0.7])]
    assert faster([*some, *other], "ours", "theirs", 0.65) == (None, 1, 1)


def test_targets_are_the_best_of_plain_and_the_best_of_all_minus_two_points() -> None:
    every = [*rows("plain", 0, [0.6, 0.55]), *rows("plain", 1, [0.8, 0.75]), *rows("ours", 0, [0.1, 0.92])]
    assert targets(every) == {"best_plain": pytest.approx(0.7), "best_of_all_minus_2": pytest.approx(0.9)}
