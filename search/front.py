"""The Pareto front of score (higher is better) against cost (lower is better)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


def hypervolume(points: Sequence[tuple[float, float]], worst: tuple[float, float]) -> float:
    """The area that points (score, cost) beat, up to a worst score and a worst cost; points beyond those count nothing.

    Args:
        worst: (lowest score, highest cost) that are of interest.
    """
    least, dearest = worst
    inside = [(score, cost, (score, cost)) for score, cost in points if score > least and cost < dearest]
    area, reached = 0.0, least
    for score, cost in pareto(inside):
        area += (score - reached) * (dearest - cost)
        reached = score
    return area
