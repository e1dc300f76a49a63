"""Three classes of 8x8 images with the sizes that a test wants, and a view that notes which labels were handed out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tracking.cost import Meter
from trainables.contract_toy import toy_context
from trainables.method import Context
from trainables.problems.array_problem import ArrayProblem
from trainables.problems.array_view import Description, Rows
from trainables.problems.bank import standard_bank
from trainables.problems.dataset import stream
from trainables.problems.problem import Batch, Kind, Split

SIZES = (40, 12, 4)  # of `train`; the other splits have half of it


def imbalanced_problem(sizes: Sequence[int] = SIZES) -> ArrayProblem:
    """Bars at one of three heights, in noise."""
    halves = [max(1, size // 2) for size in sizes]
    rows = {split: _rows(split, sizes if split is Split.TRAIN else halves) for split in Split}
    shape = (1, 8, 8)
    names, bank = ("top", "middle", "bottom"), standard_bank(shape, {})
    description = Description(Kind.CLASSIFICATION, shape, len(sizes), names, bank)
    return ArrayProblem(rows, description)


def imbalanced_context(seed: int = 0, sizes: Sequence[int] = SIZES) -> Context:
    """`toy_context` on that problem."""
    meter = Meter("cpu")
    return replace(toy_context(seed), problem=imbalanced_problem(sizes).view(meter), meter=meter)


class Noting:
    """A view that keeps the labels of every batch drawn, with the name of what drew it."""

    def __init__(self, view: Any) -> None:
        self._view = view
        self.drawn: list[tuple[str, Tensor]] = []

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._view, name)
        return self._noting(name, value) if name in ("draw", "draw_classes") else value

    def _noting(self, name: str, function: Any) -> Any:
        def noted(*args: Any) -> Batch:
            batch: Batch = function(*args)
            self.drawn.append((name, batch.y))
            return batch

        return noted

    def share(self, label: int, first: int, last: int) -> float:
        """Of a class, among the labels of the batches first .. last - 1."""
        return float((torch.cat([y for _, y in self.drawn[first:last]]) == label).float().mean())


def _rows(split: Split, sizes: Sequence[int]) -> Rows:
    y = np.repeat(np.arange(len(sizes)), sizes)
    x = stream("imbalanced", str(split)).integers(0, 60, size=(len(y), 1, 8, 8))
    for label in range(len(sizes)):
        x[y == label, :, 1 + 2 * label : 3 + 2 * label, 1:6] += 150
    return Rows(x.astype(np.uint8), y)
