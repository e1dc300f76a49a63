"""The points of a grid over a space."""

from __future__ import annotations

import math
from typing import assert_never

import numpy as np

from spaces.domain import Choice, Domain, Float, Int, Point, Space, Value

LARGEST = 100_000  # points; a larger grid is a mistake


def size(space: Space, per_range: int) -> int:
    """How many points the grid has; a space without parameters has one."""
    return math.prod(len(levels(domain, per_range)) for domain in space.root.values())


def points(space: Space, per_range: int, seed: int) -> list[Point]:
    """All points, shuffled: what a budget leaves of them is spread over the whole space."""
    axes = {name: levels(domain, per_range) for name, domain in space.root.items()}
    shape = tuple(len(axis) for axis in axes.values())
    found: list[Point] = []
    for flat in np.random.default_rng(seed).permutation(math.prod(shape)):
        at = np.unravel_index(int(flat), shape) if shape else ()
        found.append({name: axis[int(i)] for (name, axis), i in zip(axes.items(), at, strict=True)})
    return found


def levels(domain: Domain, per_range: int) -> list[Value]:
    """The values of one parameter: both ends and what lies evenly between (on the logarithm where the domain is
    logarithmic; the middle where it is only one), of integers the nearest without repetition; every option."""
    match domain:
        case Float() | Int():
            units = [i / (per_range - 1) for i in range(per_range)] if per_range > 1 else [0.5]
            return list(dict.fromkeys(domain.decode(unit) for unit in units))
        case Choice():
            return list(domain.options)
        case _:
            assert_never(domain)
