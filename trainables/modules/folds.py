"""Labelled examples cut in two, again and again: one part to learn from, one to judge on."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from tracking.errors import UserError
from trainables.problems.problem import Batch, Kind, View


class Fold(NamedTuple):
    """Two parts without a common example."""

    learned: Batch
    judged: Batch


def shuffled_folds(problem: View, examples: Batch, count: int, share: float, generator: Generator) -> list[Fold]:
    """`count` cuts of the same examples, each drawn anew; every class is cut alike.

    Args:
        share: that is judged, in (0, 1).

    Raises:
        UserError: a part would be empty.
    """
    classes = problem.kind is Kind.CLASSIFICATION
    groups = examples.y.cpu() if classes else torch.zeros(len(examples.y), dtype=torch.int64)
    found = []
    for _ in range(count):
        judged = _judged(groups, share, generator)
        if not 0 < int(judged.sum()) < len(judged):
            raise UserError(
                "a network must have examples to learn from, and policies examples to be judged on",
                f"{len(judged)} labelled examples of which {int(judged.sum())} are to judge on",
                "more labels, or `judged: outer`",
            )
        found.append(Fold(Batch(*(part[~judged] for part in examples)), Batch(*(part[judged] for part in examples))))
    return found


def _judged(groups: Tensor, share: float, generator: Generator) -> Tensor:
    """(N,) bool: the first round(share n) of every group of n, in a random order."""
    order = torch.randperm(len(groups), generator=generator)
    chosen = torch.zeros(len(groups), dtype=torch.bool)
    for group in torch.unique(groups):
        members = order[groups[order] == group]
        chosen[members[: round(share * len(members))]] = True
    return chosen
