"""Layer problems: every task is a linear layer to be learned from a few examples; what tasks share is planted (MSR)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Generator, Tensor
from torch.nn.functional import unfold

from trainables.problems.array_view import Rows
from trainables.problems.dataset import POOL, Dataset, SourceConfig, stream
from trainables.problems.patterns import Layer, Pattern, pattern
from trainables.problems.problem import Action, Batch, Episode, Kind, Split
from trainables.problems.tasks import TaskProblem, Tasks

TEST_SHARE = 0.2


class Config(SourceConfig):
    """y = W x without noise, x ~ N(0, 1); a task is a filter v, its weights vec(W) = U* v (patterns.py).

    Filters are stored and inputs drawn on the fly, so a problem takes megabytes where stored examples would take
    gigabytes. `rank1` to `rank5`: 70 inputs, 68 outputs, filters of three taps, one for all positions or mixed from a
    few by position. `2d_rot8` and `2d_rot8_flip`: one 32 x 32 channel to three fields of kernels turned by multiples
    of 45 degrees. `cyclic16` and `dihedral8`: the regular layer of Z_16, and of D_8 on 16 points, exactly.

    Args:
        layer: which.
        tasks: in all; a fifth of them is the test set, the others are divided as labelled examples are.
        shots: support examples of a task; `queries` likewise.
    """

    name: ClassVar[str] = "layers"

    layer: Layer
    tasks: int = Field(default=10_000, ge=15)
    shots: int = Field(default=1, ge=1)
    queries: int = Field(default=19, ge=1)

    def load(self, seed: int) -> Dataset:
        known = self.pattern(seed)
        size = (self.tasks, known.matrix.shape[1])
        v = known.deviation * stream("layers", "filters", self.layer, seed).standard_normal(size)
        split = self.tasks - round(TEST_SHARE * self.tasks)
        pool, test = v[:split].astype(np.float32), v[split:].astype(np.float32)
        return Dataset(
            pool=dict.fromkeys(POOL, pool), pool_y=np.zeros(len(pool), np.int64), test_x=test,
            test_y=np.zeros(len(test), np.int64), kind=Kind.EPISODIC, outputs=known.outputs,
        )

    def pattern(self, seed: int) -> Pattern:
        """What the tasks share."""
        return pattern(self.layer, stream("layers", "pattern", self.layer, seed))

    def assemble(
        self, rows: Mapping[Split, Rows], dataset: Dataset, seed: int, bank: tuple[Action, ...] = ()
    ) -> TaskProblem:
        known = {split: pair.x for split, pair in rows.items()}
        family = LinearLayers(self.pattern(seed))
        return TaskProblem(family, known, self.shots, self.queries, dataset.notes, pattern=partial(self._planted, seed))

    def _planted(self, seed: int) -> Tensor:
        return torch.from_numpy(self.pattern(seed).matrix).float()


class LinearLayers:
    """Examples of linear layers; a task is its filter (k,). Axes: T tasks, N examples."""

    outcome, ways = Kind.REGRESSION, 1
    bank: tuple[Action, ...] = ()  # a layer's symmetry is how its outputs move, not that they stay

    def __init__(self, known: Pattern) -> None:
        self.shape, self.outputs = known.shape, known.outputs
        self._weight, self._size = known.weight, known.matrix.shape[0]
        self._places = torch.from_numpy(np.argwhere(known.matrix))  # U* is mostly zeros
        self._values = torch.from_numpy(known.matrix[known.matrix != 0]).float()
        # E[y^2] per output: the squares of all weights, shared out over the rows of W.
        self.variance = float((known.matrix**2).sum()) * known.deviation**2 / known.weight[0]

    def episodes(self, known: Tasks, generator: Generator, tasks: int, shots: int, queries: int) -> Episode:
        rows = torch.randint(len(known), (tasks,), generator=generator)
        x = torch.randn(tasks, shots + queries, *self.shape, generator=generator)
        y = self.targets(torch.from_numpy(known[rows.numpy()]), x)
        return Episode(Batch(x[:, :shots], y[:, :shots]), Batch(x[:, shots:], y[:, shots:]))

    def draw(self, known: Tasks, generator: Generator, size: int) -> Batch:
        support, _ = self.episodes(known, generator, size, 1, 0)
        return Batch(support.x[:, 0], support.y[:, 0])

    def fixed(self, known: Tasks, generator: Generator) -> Batch:
        x = torch.randn(len(known), 1, *self.shape, generator=generator)
        return Batch(x[:, 0], self.targets(torch.from_numpy(np.array(known)), x)[:, 0])

    def targets(self, v: Tensor, x: Tensor) -> Tensor:
        """W x of each task: v (T, k), x (T, N, *shape) -> (T, N, outputs)."""
        rows, columns = self._places.unbind(1)
        weight = v.new_zeros(len(v), self._size).index_add(1, rows, v[:, columns] * self._values)
        weight = weight.view(len(v), self._weight[0], -1)  # (T, m, n) or (T, c, 9)
        if len(self._weight) == 2:
            return torch.einsum("tmn,tbn->tbm", weight, x)
        patches = unfold(x.flatten(0, 1), 3).view(*x.shape[:2], 9, -1)
        return (weight[:, None] @ patches).flatten(2)

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Squared error, mean over outputs."""
        return (outputs - y).square().mean(-1)

    def score(self, outputs: Tensor, y: Tensor) -> Tensor:
        """1 - MSE / E[y^2]: 1 for the true layer, 0 for the one that says zero."""
        return 1 - (outputs - y).square().mean() / self.variance
