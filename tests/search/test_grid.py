"""The grid: known answers, completeness, order."""

from __future__ import annotations

import pytest

from search import configuration, grid
from search.front import pareto
from spaces.domain import Choice, Float, Int, Space
from tests.support.simulation import comparison
from tracking.errors import UserError


def test_levels_are_evenly_spaced_on_the_scale_of_the_domain() -> None:
    assert grid.levels(Float(low=0, high=1), 3) == [0.0, 0.5, 1.0]
    assert grid.levels(Float(low=0.01, high=1, log=True), 3) == pytest.approx([0.01, 0.1, 1.0])
    assert grid.levels(Float(low=0, high=1), 1) == [0.5]
    assert grid.levels(Int(low=1, high=9), 3) == [1, 5, 9]
    assert grid.levels(Int(low=1, high=2), 5) == [1, 2]
    assert grid.levels(Choice(options=("x", True, 1, None)), 2) == ["x", True, 1, None]


def test_every_combination_comes_once_in_an_order_that_the_seed_draws() -> None:
    space = Space({"a": Float(low=0, high=1), "b": Int(low=1, high=2), "c": Choice(options=("x", "y"))})
    points = grid.points(space, 3, seed=0)
    assert len(points) == grid.size(space, 3) == 12 == len({tuple(p.items()) for p in points})
    assert all(space.contains(point) for point in points)
    other = grid.points(space, 3, seed=1)
    assert other != points and sorted(other, key=str) == sorted(points, key=str)
    assert grid.points(Space({}), 3, seed=0) == [{}]


def test_a_grid_that_is_too_large_is_refused_before_anything_starts() -> None:
    with pytest.raises(UserError, match="grid has at most"):
        configuration.validate(comparison().model_dump() | {"sampler": "grid", "grid_points": 1000})


def test_the_front_is_what_nothing_beats() -> None:
    """Against the definition, on all small cases; of equals the older one."""
    values = [(s, c) for s in (0, 1, 2) for c in (0, 1, 2)]
    cases = [(a, b, c, d) for a in values for b in values for c in values[:4] for d in values[3:6]]
    for case in cases:
        front = pareto((s, c, i) for i, (s, c) in enumerate(case))
        beaten = [
            any((s2 >= s and c2 <= c and (s2, c2) != (s, c)) or ((s2, c2) == (s, c) and j < i)
                for j, (s2, c2) in enumerate(case))
            for i, (s, c) in enumerate(case)
        ]
        assert sorted(front) == [i for i, lost in enumerate(beaten) if not lost]
        assert [case[i][1] for i in front] == sorted(case[i][1] for i in front)
