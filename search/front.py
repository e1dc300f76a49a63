"""The Pareto front of score (higher is better) against cost (lower is better)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def pareto(found: Iterable[tuple[float, float, T]]) -> list[T]:
    """What nothing else is at least as good as in both and better in one; cheapest first.

    Args:
        found: (score, cost, what) in order of age; of equals in both the oldest is taken.
    """
    front: list[T] = []
    highest = float("-inf")
    for score, _, what in sorted(found, key=lambda each: (each[1], -each[0])):  # stable: age decides
        if score > highest:
            highest = score
            front.append(what)
    return front
