"""Policies as whole numbers: first to fire against all orders, mutations within their ranges and at their rates."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from spaces.transforms import Operation
from trainables.methods import pba
from trainables.modules.genes import LEVELS, TENTHS, Genes, Slot, mutated, policy_of, table

OPERATIONS = (Operation.ROTATION, Operation.SCALE, Operation.SHEAR_X, Operation.CONTRAST)

ONE = OPERATIONS[:1]


def genes(*probabilities: int, level: int = 3) -> Genes:
    return {o: Slot(probability=p, level=level) for o, p in zip(OPERATIONS, probabilities, strict=False)}


def first_to_fire(probabilities: tuple[int, ...]) -> list[float]:
    """By going through every order."""
    found = np.zeros(len(probabilities))
    orders = list(permutations(range(len(probabilities))))
    for order in orders:
        missed = 1.0
        for k in order:
            found[k] += missed * probabilities[k] / TENTHS / len(orders)
            missed *= 1 - probabilities[k] / TENTHS
    return list(found)


@pytest.mark.parametrize("probabilities", [(5,), (10, 10), (3, 0, 7), (10, 2, 5, 1), (0, 0, 0, 0)])
def test_weights_are_those_of_the_first_to_fire_in_a_random_order(probabilities: tuple[int, ...]) -> None:
    chosen = OPERATIONS[: len(probabilities)]
    weights = [entry.weight for entry in policy_of(genes(*probabilities), chosen).entries]
    assert weights == pytest.approx(first_to_fire(probabilities), abs=1e-12)


def test_operations_that_do_not_fit_never_fire_and_levels_are_ninths() -> None:
    entries = policy_of(genes(5, 5, 5, 5), OPERATIONS[:2]).entries
    assert [entry.operation for entry in entries] == list(OPERATIONS[:2])
    assert sum(entry.weight for entry in entries) == pytest.approx(0.75)  # both miss in a quarter
    assert {entry.magnitude for entry in entries} == {3 / LEVELS}


def test_mutations_stay_in_range_and_have_the_published_rates() -> None:
    """From 5 a number goes anywhere by drawing anew (.2) and by up to 3 steps otherwise: beyond 3 steps only by the
    first, .2 x 4 / 11. Of 20,000 draws the share is within .003 of that but for one in 10,000 runs (4 standard errors).
    """
    rng = np.random.default_rng(0)
    draws = [mutated(genes(5), ONE, rng)[Operation.ROTATION].probability for _ in range(20_000)]
    assert min(draws) == 0 and max(draws) == TENTHS
    far = np.mean([abs(draw - 5) > 3 for draw in draws])
    assert far == pytest.approx(0.2 * 4 / 11, abs=0.008)
    assert np.mean([abs(draw - 5) == 3 for draw in draws]) == pytest.approx(0.8 / 4 + 0.2 * 2 / 11, abs=0.012)
    assert np.mean(draws) == pytest.approx(5, abs=0.08)
    levels = [mutated(genes(5), ONE, rng)[Operation.ROTATION].level for _ in range(2000)]
    assert set(levels) == set(range(LEVELS + 1)), "levels mutate too"
    edges = [mutated(genes(10, level=0), ONE, rng)[Operation.ROTATION] for _ in range(500)]
    assert all(0 <= slot.level <= LEVELS and 0 <= slot.probability <= TENTHS for slot in edges)


def test_children_do_not_depend_on_the_order_in_which_a_policy_was_written() -> None:
    """A schedule from a file or a hand, in any order, breeds what the same in the order of the space breeds."""
    parent = genes(1, 5, 9, 3)
    straight, turned = (
        pba.Config(operations=OPERATIONS, schedule=(written,)).continued(np.random.default_rng(4), explores=True)
        for written in (parent, dict(reversed(parent.items())))
    )
    assert straight.schedule[-1] == turned.schedule[-1] != parent
    assert list(straight.schedule[-1]) == list(turned.schedule[-1]) == list(OPERATIONS)


def test_children_of_the_default_space_are_what_they_were() -> None:
    """Journals hold them, and a sweep that is resumed asks again: the known answer of one mutation of nothing."""
    child = pba.Config().begun(np.random.default_rng(0), 1).schedule[-1]
    assert list(child) == list(pba.Config().operations)
    numbers = [(slot.probability, slot.level) for slot in child.values()]
    assert numbers == [(2, 2), (0, 0), (1, 3), (0, 0), (1, 0), (0, 0), (3, 6), (3, 0), (0, 0)]


def test_the_table_has_a_line_per_operation_and_a_column_per_generation() -> None:
    lines = table([genes(1, 2), genes(3, 4)]).splitlines()
    assert lines[0] == "| operation | 1 of 2 | 2 of 2 |"
    assert lines[2:] == ["| rotation | 1 / 3 | 3 / 3 |", "| scale | 2 / 3 | 4 / 3 |"]
