"""The front over methods against brute force, by hand, and in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from optuna._hypervolume import compute_hypervolume

from search.account import Cost
from search.exhibit_tables import accuracy_table
from search.method_front import beaten, front, points, records, sentences
from search.row import Row
from tests.support.rows import row, seeds


def made(name: str, score: float, cost: float) -> Row:
    return replace(row(name, seeds(score, score)), total=Cost(cost))


def test_the_front_is_what_no_other_row_beats_in_both() -> None:
    """Brute force over 200 random rows on a coarse grid, so that ties come; the control is that most are beaten."""
    generator = np.random.default_rng(0)
    rows = [made(f"m{k}", s / 20, float(c)) for k, (s, c) in enumerate(generator.integers(1, 20, (200, 2)))]
    kept = {one.method for one in front(rows)}
    for score, cost, one in points(rows):
        dominated = any(s >= score and c <= cost and (s > score or c < cost) for s, c, _ in points(rows))
        twin = any(s == score and c == cost and other.method in kept for s, c, other in points(rows))
        assert twin is not dominated if twin else dominated
        assert (one.method in kept) <= (not dominated)
    assert 1 < len(kept) < 40


def test_the_area_is_optunas() -> None:
    rows = [made("plain", 0.70, 4.0), made("a", 0.80, 6.0), made("b", 0.75, 9.0), made("c", 0.90, 12.0)]
    losses = np.array([[cost, -score] for score, cost, _ in points(rows)])
    expected = compute_hypervolume(losses, np.array([12.8, -0.68]))
    by_hand = 0.02 * 8.8 + 0.10 * 6.8 + 0.10 * 0.8
    assert beaten(rows) == pytest.approx(float(expected)) == pytest.approx(by_hand)
    better = beaten([*rows[:3], made("c", 0.95, 12.0)])
    assert better is not None and better > by_hand, "the dearest row counts"
    assert beaten([made("a", 0.8, 3.0), made("b", 0.8, 4.0)]) is None and beaten([]) is None


def test_words_and_table_say_which() -> None:
    rows = [made("plain", 0.70, 4.0), made("a", 0.80, 6.0), made("b", 0.75, 9.0)]
    assert sentences(rows) == [
        "one: on the front of mean test score against everything's cost, in plain trainings: plain (70.0 % at 4.00) "
        "and a (80.0 % at 6.00)."
    ]
    assert sentences([rows[0], made("c", 0.60, 5.0)]) == [
        "one: no row has a higher mean test score or a lower cost (everything, in plain trainings) than plain "
        "(70.0 % at 4.00)."
    ]
    assert [(line["method"], line["on_front"]) for line in records(rows)] == [
        ("plain", True), ("a", True), ("b", False),
    ]
    assert {line["front_hypervolume"] for line in records(rows)} == {beaten(rows)}
    assert sentences(rows[:1]) == []
    assert [line[-1] for line in accuracy_table(rows).lines] == ["yes", "yes", "no"]
    unknown = replace(rows[0], unit_flops=None)
    assert front([unknown, rows[1]]) == [rows[1]]


def test_a_bound_is_not_on_the_front() -> None:
    rows = [made("plain", 0.70, 4.0), replace(made("oracle", 0.90, 3.0), bound=True), made("a", 0.80, 6.0)]
    assert [row.method for row in front(rows)] == ["plain", "a"]
    assert [(line[0], line[-1]) for line in accuracy_table(rows).lines] == [
        ("plain", "yes"), ("oracle (bound)", "no"), ("a", "yes"),
    ]
