"""Divisions by shares: whole numbers, complete, disjoint."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking.errors import UserError
from trainables.problems.dataset import stream
from trainables.problems.partition import SHARES, allocate, divide, held_out, partition_rows
from trainables.problems.spec import ProblemSpec

shares = st.lists(st.floats(0.05, 1), min_size=1, max_size=5)


@given(st.integers(0, 500), shares)
def test_allocate_sums_to_count_and_starves_nobody(count: int, shares: list[float]) -> None:
    whole = allocate(count, shares)
    assert sum(whole) == count
    assert min(whole) >= 0
    if count >= len(shares):
        assert min(whole) >= 1


@given(st.integers(200, 500), shares)
def test_allocate_is_within_one_of_the_share_where_there_is_plenty(count: int, shares: list[float]) -> None:
    exact = np.array(shares) / sum(shares) * count
    assert (np.abs(np.array(allocate(count, shares)) - exact) < 1 + 1e-9).all()


@given(st.lists(st.integers(0, 3), min_size=1, max_size=80), st.integers(0, 5))
def test_divide_is_a_partition(groups: list[int], seed: int) -> None:
    parts = divide(np.array(groups), SHARES, stream(seed))
    assert sorted(np.concatenate(parts)) == list(range(len(groups)))


def test_rows_that_changed_after_they_were_divided_are_told() -> None:
    """A wrapper of somebody's own, or data prepared by an earlier version."""
    spec = ProblemSpec(label="x", source={"name": "digits"}, wrappers=[{"name": "long_tailed", "ratio": 0.1}])
    dataset = spec.dataset(0)
    assert dataset.select is not None
    partition_rows(dataset, 0, 0)
    with pytest.raises(UserError, match="comes after wrappers that make other rows"):
        partition_rows(replace(dataset, select=dataset.select[1:]), 0, 0)


def test_held_out_is_exact_and_stratified() -> None:
    y = np.repeat([0, 1, 2], [500, 300, 5])
    rest, chosen = held_out(y, 161, stream(0))
    assert sorted([*rest, *chosen]) == list(range(len(y)))
    assert np.bincount(y[chosen]).tolist() == [100, 60, 1]
