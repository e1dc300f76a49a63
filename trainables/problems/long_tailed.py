"""Long tails: a few classes have most of the examples, and all are varied by the same nuisance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from tracking.errors import UserError
from trainables.idle_fields import refuse_idle
from trainables.problems.dataset import Array, Dataset, WrapperConfig, stream
from trainables.problems.nuisance import check_ranges, planted_truth, strengths, transformed
from trainables.problems.problem import Kind
from trainables.problems.tails import Tail, tail_sizes

LEARNABLE_LEAST = 2  # one example of every class for train, one for outer


class Config(WrapperConfig):
    """Classes of very different sizes, under a nuisance that is the same for all (Zhou et al. 2022).

    The sizes are those of train and outer together. The select split has the same number of every class, as tuning on
    two images of a class would be noise; so have the scores, which are balanced accuracies: the mean over classes of
    the share that is recognised. The test set stays whole, and its images before the nuisance are kept for the
    harness, which measures invariance per class on them. Which images a class keeps depends on the seed alone: the
    orders of one seed share them.

    Args:
        tail: how sizes fall; see `Tail`.
        largest: examples of the largest class; None: as many as the smallest class of the data leaves.
        ratio: of the smallest class to the largest; of exponential and step tails.
        exponent, least: of Zipf tails.
        order: number of the order of the classes, drawn by the seed; None: the data's own order, as CIFAR-LT.
        select: examples of every class in the select split.
        ranges: action of the bank -> physical half-width of the nuisance, as of `nuisance`; drawn once per stored
            image. None of them: the tail alone.
        draws: distinct images of every class; each is repeated, with nuisances of its own, until the class has its
            size. Then only the number of transform draws follows the class size (train and outer share images).
    """

    name: ClassVar[str] = "long_tailed"

    tail: Tail = Tail.EXPONENTIAL
    largest: int | None = Field(default=None, ge=2)
    ratio: float = Field(default=0.01, gt=0, le=1)
    exponent: float = Field(default=2.0, gt=0)
    least: int = Field(default=5, ge=LEARNABLE_LEAST)
    order: int | None = Field(default=0, ge=0)
    select: int = Field(default=30, ge=1)
    ranges: dict[str, float] = Field(default_factory=dict)
    draws: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _nothing_is_idle(self) -> Self:
        if self.tail is Tail.ZIPF:
            refuse_idle(self, ("ratio",), "exponential and step tails", "of a Zipf tail set `exponent` and `least`")
        else:
            refuse_idle(self, ("exponent", "least"), "Zipf tails", "set `tail: zipf`, or `ratio`")
        return self

    def wrap(self, dataset: Dataset, seed: int) -> Dataset:
        _check_data(dataset)
        check_ranges(self.ranges, dataset)
        learned, held = self._rows(dataset, self._sizes(dataset, seed), seed)
        rows = np.concatenate((learned, held))
        reserved = np.arange(len(rows)) >= len(learned)
        kept = dataset.rows(rows)
        changed = kept.map_pool(lambda x: self._varied(dataset, "pool", x, seed)) if self.ranges else kept
        return replace(
            changed, select=reserved, test_x=self._varied(dataset, "test", dataset.test_x, seed),
            clean_x=dataset.test_x if dataset.clean_x is None else dataset.clean_x,
            nuisances={**dataset.nuisances, **self.ranges},
            originals=kept.planted(changed.pool) if self.ranges else kept.originals,
            truth=planted_truth(self.ranges, dataset) if self.ranges else dataset.truth, balanced=True,
        )

    def _sizes(self, dataset: Dataset, seed: int) -> Array:
        """Of each class (K,), by label."""
        sizes = np.bincount(dataset.pool_y, minlength=dataset.outputs)
        available = int(sizes.min()) - self.select
        if available < LEARNABLE_LEAST:
            raise UserError(
                f"`select` must leave {LEARNABLE_LEAST} images of every class to learn from",
                f"select: {self.select}, and the smallest class has {sizes.min()}", "lower `select`",
            )
        largest = self.largest or max(available, LEARNABLE_LEAST)
        order = np.arange(dataset.outputs)
        if self.order is not None:
            order = stream("long_tailed", "order", self.order, seed).permutation(dataset.outputs)
        if self.tail is Tail.ZIPF and self.least > largest:
            raise UserError("`least` is a size of the tail, below the largest one", self.least, f"largest is {largest}")
        falling = tail_sizes(self.tail, dataset.outputs, largest, self.ratio, self.exponent, self.least)
        if falling[-1] < LEARNABLE_LEAST:
            raise UserError(
                f"the smallest class of the tail needs {LEARNABLE_LEAST} examples, one for train and one for outer",
                falling[-1], "raise `ratio` or `largest`",
            )
        if self.draws is not None and falling[-1] < self.draws:
            raise UserError(
                "with `draws` every class has as many images, and the smallest one as many transform draws at least",
                f"draws: {self.draws}, and the smallest class has {falling[-1]}", "lower `draws`, or raise `ratio`",
            )
        wanted = np.empty(dataset.outputs, np.int64)
        wanted[order] = falling
        needed = (wanted if self.draws is None else np.full_like(wanted, self.draws)) + self.select
        if short := [f"{dataset.classes[k]} ({sizes[k]} of {needed[k]})" for k in np.flatnonzero(sizes < needed)]:
            raise UserError(
                "every class needs the images that the tail and `select` ask for", ", ".join(short),
                f"lower `{'largest' if self.draws is None else 'draws'}` or `select`, or take another `order`",
            )
        return wanted

    def _rows(self, dataset: Dataset, sizes: Array, seed: int) -> tuple[Array, Array]:
        """Pool rows to learn from, and those of the select split; both by class."""
        generator = stream("long_tailed", "images", seed)
        learned, held = [], []
        for label, size in enumerate(sizes):
            rows = generator.permutation(np.flatnonzero(dataset.pool_y == label))
            held.append(rows[: self.select])
            base = rows[self.select :][: self.draws or size]
            learned.append(base[np.arange(size) % len(base)])
        return np.concatenate(learned), np.concatenate(held)

    def _varied(self, dataset: Dataset, part: str, x: Array, seed: int) -> Array:
        if not self.ranges:
            return x
        actions = [action for name, action in dataset.actions().items() if name in self.ranges]
        generator = stream("long_tailed", "nuisance", part, seed)
        return transformed(x, actions, strengths(actions, self.ranges, lambda: generator.random(len(x))))


def class_groups(sizes: Mapping[int, int] | Array) -> dict[str, list[int]]:
    """Labels of the largest third of the classes, the smallest third, and those between; equal sizes stay together.

    A group takes the sizes that fit into its third, and at least the largest (smallest) one; groups do not overlap.
    Where all classes are equally large they are all head and all tail.
    """
    counts = np.asarray([sizes[k] for k in range(len(sizes))])
    third = max(1, len(counts) // 3)
    head, tail = _within(-counts, third), _within(counts, third)
    groups = {"head": head, "middle": ~head & ~tail, "tail": tail}
    return {name: np.flatnonzero(chosen).tolist() for name, chosen in groups.items() if chosen.any()}


def _within(values: Array, most: int) -> Array:
    """The lowest values, whole levels of equals at a time, `most` of them or the lowest level alone (K,) bool."""
    levels, counts = np.unique(values, return_counts=True)
    fitting = max(1, int((np.cumsum(counts) <= most).sum()))
    return np.asarray(values <= levels[fitting - 1])


def _check_data(dataset: Dataset) -> None:
    if dataset.kind is not Kind.CLASSIFICATION:
        raise UserError("`long_tailed` counts examples of classes", f"a {dataset.kind} problem")
    if dataset.outputs < 2:
        raise UserError("a tail needs two classes or more", dataset.outputs)
    if dataset.select is not None:
        raise UserError("a problem has one tail", "`long_tailed` twice")
    if len({id(array) for array in dataset.pool.values()}) > 1:
        raise UserError(
            "`long_tailed` needs the same images in every split", "a wrapper before it that changes some splits only",
            "name its nuisance in `ranges` of `long_tailed`",
        )
