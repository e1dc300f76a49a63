"""Few-shot tasks from labelled images: classes that a method has not seen, told apart after a few examples of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy

from tracking.errors import UserError
from trainables.problems.array_view import Rows, as_input
from trainables.problems.bank import apply_jointly
from trainables.problems.dataset import POOL, Dataset, WrapperConfig, stream
from trainables.problems.nuisance import check_ranges, planted_truth, strengths
from trainables.problems.problem import LEARNABLE, Action, Batch, Episode, Kind, Split
from trainables.problems.tasks import TaskProblem, Tasks


class Config(WrapperConfig):
    """A task: some classes, a few clean support images of each, and transformed queries of the same classes.

    Augmented episodes (Zhou et al. 2021): what a task's own examples do not show must come from what tasks share.
    Classes, not images, are divided: some are kept for the test set, the others into train, outer and select by the
    problem's `shares`. Every class is cut to as many images as the smallest has. All images are the pool's: what an
    earlier wrapper did to the test set alone is not seen.

    Args:
        ways: classes of a task.
        shots: support images of each class; `queries` likewise.
        ranges: operation -> physical half-width of the uniform strength that each query image gets, as of `nuisance`.
        test_classes: kept for the test set, drawn by the seed.
    """

    name: ClassVar[str] = "episodes"

    ways: int = Field(default=5, ge=2)
    shots: int = Field(default=1, ge=1)
    queries: int = Field(default=5, ge=1)
    ranges: dict[str, float] = Field(default_factory=dict)
    test_classes: int | None = Field(default=None, ge=2)

    def wrap(self, dataset: Dataset, seed: int) -> Dataset:
        dataset.require_no_tail(self.name)
        if dataset.kind is not Kind.CLASSIFICATION or len(dataset.shape) != 3:
            raise UserError("`episodes` makes tasks of labelled images", f"a {dataset.kind} problem {dataset.shape}")
        if len({id(array) for array in dataset.pool.values()}) > 1:
            raise UserError("`episodes` transforms queries itself", "a wrapper that changes some splits only")
        check_ranges(self.ranges, dataset)
        x, y = np.asarray(dataset.pool[Split.TRAIN]), dataset.pool_y
        sizes = np.bincount(y, minlength=dataset.outputs)
        needed, least = self.shots + self.queries, int(sizes.min())
        if least < needed:
            short = ", ".join(f"{dataset.classes[k]} ({n})" for k, n in enumerate(sizes) if n < needed)
            raise UserError(f"every class needs shots + queries = {needed} images", short, "lower `queries` or `shots`")
        test = self.test_classes or self.ways
        if dataset.outputs < test + 2 * self.ways:
            raise UserError(
                f"{self.ways} ways need {test + 2 * self.ways} classes: for test, for select, and to learn from",
                dataset.outputs, f"ways: {max(2, dataset.outputs // 3)}",
            )
        classes = np.stack([x[np.flatnonzero(y == k)[:least]] for k in range(dataset.outputs)])
        order = stream("episodes", seed).permutation(dataset.outputs)
        pool, held_out = classes[np.sort(order[test:])], classes[np.sort(order[:test])]
        return replace(
            dataset, pool=dict.fromkeys(POOL, pool), pool_y=np.zeros(len(pool), np.int64), test_x=held_out,
            clean_x=None, originals=None, test_y=np.zeros(test, np.int64), kind=Kind.EPISODIC, outputs=self.ways,
            classes=(),
            truth=planted_truth(self.ranges, dataset) if self.ranges else dataset.truth,
        )

    def assemble(
        self, rows: Mapping[Split, Rows], dataset: Dataset, seed: int, bank: tuple[Action, ...]
    ) -> TaskProblem:
        known = {split: pair.x for split, pair in rows.items()}
        learnable = sum(len(known[split]) for split in LEARNABLE)
        for what, count in {"train and outer": learnable, "select": len(known[Split.SELECT])}.items():
            if count < self.ways:
                raise UserError(
                    f"{what} must hold the {self.ways} classes of a task", count,
                    "set the problem's `shares`, e.g. 0.4, 0.2, 0.4, or fewer `ways`",
                )
        family = ImageTasks(self.ways, self.ranges, bank, tuple(known[Split.TRAIN].shape[2:]))
        return TaskProblem(family, known, self.shots, self.queries, dataset.notes, dataset.truth)


class ImageTasks:
    """Axes: T tasks, W ways, N images of a class, then (C, H, W). A known thing is a class (N, C, H, W)."""

    outcome = Kind.CLASSIFICATION

    def __init__(
        self, ways: int, ranges: Mapping[str, float], bank: tuple[Action, ...], shape: tuple[int, ...]
    ) -> None:
        self.bank, self.outputs, self.ways, self.shape = bank, ways, ways, shape
        self._ranges, self._queried = ranges, [action for action in bank if action.name in ranges]

    def episodes(self, known: Tasks, generator: Generator, tasks: int, shots: int, queries: int) -> Episode:
        """Classes and images without replacement within a task; ordered by class, which were drawn in random order.

        Where fewer classes are known than a task has ways, its tasks have as many. UserError where a class has fewer
        images than a task takes of it.
        """
        if known.shape[1] < shots + queries:
            raise UserError(f"every class needs shots + queries = {shots + queries} images", known.shape[1])
        ways = min(self.outputs, len(known))
        classes = torch.rand(tasks, len(known), generator=generator).topk(ways).indices  # (T, W)
        keys = torch.rand(tasks, ways, known.shape[1], generator=generator)
        images = keys.topk(shots + queries).indices  # (T, W, S + Q)
        x = as_input(known[classes[..., None].numpy(), images.numpy()])
        support, query = x[:, :, :shots].flatten(1, 2), x[:, :, shots:].flatten(1, 2)
        y = torch.arange(ways).expand(tasks, -1)
        return Episode(
            Batch(support, y.repeat_interleave(shots, 1)),
            Batch(self._transformed(query, generator), y.repeat_interleave(queries, 1)),
        )

    def fixed(self, known: Tasks, generator: Generator) -> Batch:
        image = torch.randint(known.shape[1], (len(known),), generator=generator)
        x = as_input(known[np.arange(len(known)), image.numpy()])
        return Batch(x, torch.randint(self.ways, (len(known),), generator=generator))

    def draw(self, known: Tasks, generator: Generator, size: int) -> Batch:
        """A query of each task: the label says which place its class was drawn to, and nothing of the class."""
        classes, images = (torch.randint(n, (size,), generator=generator).numpy() for n in known.shape[:2])
        x = self._transformed(as_input(known[classes, images])[:, None], generator)[:, 0]
        return Batch(x, torch.randint(self.ways, (size,), generator=generator))

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(outputs, y, reduction="none")

    def score(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Accuracy."""
        return (outputs.argmax(-1) == y).float().mean()

    def _transformed(self, x: Tensor, generator: Generator) -> Tensor:
        """(T, Q, C, H, W), each image by strengths of its own."""
        flat = x.flatten(0, 1)
        by = strengths(self._queried, self._ranges, lambda: torch.rand(len(flat), generator=generator).numpy())
        return apply_jointly(self._queried, flat, by).view(x.shape)
