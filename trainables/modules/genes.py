"""Policies as whole numbers that can be mutated: per operation a probability in tenths and a level of strength."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from spaces.policies import Policy
from spaces.transforms import Operation
from trainables.modules.policy_space import mixture

TENTHS, LEVELS = 10, 9   # the highest of each
RESAMPLED = 0.2          # probability that a number is drawn anew instead of moved
STEP = 3                 # of a move, at most


class Slot(BaseModel):
    """One operation of a policy.

    Args:
        probability: to fire when its turn comes, in tenths.
        level: bound of the strengths, in ninths of the limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    probability: int = Field(ge=0, le=TENTHS)
    level: int = Field(ge=0, le=LEVELS)


Genes = dict[Operation, Slot]


def mutated(
    genes: Mapping[Operation, Slot], operations: Sequence[Operation], generator: np.random.Generator
) -> Genes:
    """Each number drawn anew with probability 0.2, else moved by 0 to 3 steps in either direction, within its range.

    Args:
        operations: of the genes; numbers are drawn in this order, whatever the order in which the genes were written.
    """
    return {
        operation: Slot(
            probability=_moved(genes[operation].probability, TENTHS, generator),
            level=_moved(genes[operation].level, LEVELS, generator),
        )
        for operation in operations
    }


def policy_of(genes: Mapping[Operation, Slot], operations: Sequence[Operation]) -> Policy:
    """An image goes through the first operation to fire, all taking their turn in a random order.

    With p_j the probabilities, operation k is the first with

        w_k = p_k int_0^1 prod_{j != k} (1 - t p_j) dt,

    for its turn comes at a uniform time t, and another one is before it with probability t.

    Args:
        operations: that fit the images; the others never fire.
    """
    fires = np.array([genes[operation].probability / TENTHS for operation in operations])
    nodes, shares = np.polynomial.legendre.leggauss(len(operations) // 2 + 1)  # exact for the product's degree
    missed = 1 - np.outer((nodes + 1) / 2, fires)  # (nodes, operations)
    others = np.stack([np.delete(missed, k, axis=1).prod(1) for k in range(len(operations))], axis=1)
    weights = fires * (shares / 2 @ others)
    return mixture(operations, weights.clip(0, 1).tolist(), [genes[o].level / LEVELS for o in operations])


def table(schedule: Sequence[Mapping[Operation, Slot]]) -> str:
    """Markdown: an operation per line, a generation per column, "probability in tenths / level in ninths"."""
    operations = list(schedule[0])
    head = ["operation", *(f"{k + 1} of {len(schedule)}" for k in range(len(schedule)))]
    rows = [
        [str(operation), *(f"{genes[operation].probability} / {genes[operation].level}" for genes in schedule)]
        for operation in operations
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]) + "\n"


def _moved(value: int, highest: int, generator: np.random.Generator) -> int:
    if generator.random() < RESAMPLED:
        return int(generator.integers(0, highest + 1))
    step = int(generator.integers(0, STEP + 1)) * (1 if generator.random() < 0.5 else -1)
    return min(max(value + step, 0), highest)
