"""The label is the transform itself: invariance to it harms."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field, field_validator

from tracking.errors import UserError
from trainables.problems.bank import absent, wider
from trainables.problems.dataset import Array, Dataset, WrapperConfig, stream
from trainables.problems.nuisance import transformed
from trainables.problems.problem import Action, Kind, Truth


class Config(WrapperConfig):
    """Which of K values of one transform was applied? The original labels are forgotten; outputs = K.

    Values are assigned in equal numbers, at random by the seed; a pool row keeps its value in every split.
    The truth's `harmful` is the smallest distance between two values: moving an input that far can change its
    label.

    Args:
        operation: an action of the transform bank.
        values: the K physical values, e.g. 0 and 90 for rotation; all different.
    """

    name: ClassVar[str] = "transform_label"

    operation: str
    values: tuple[float, ...] = Field(min_length=2)

    @field_validator("values")
    @classmethod
    def _different(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(values)) < len(values):
            raise ValueError("the values must differ from each other")
        return values

    def wrap(self, dataset: Dataset, seed: int) -> Dataset:
        dataset.require_no_tail(self.name)
        action, before = label_action(self.operation, dataset), dataset.truth or Truth()
        _check(self.values, action)
        pool_y = _balanced(len(dataset.pool_y), len(self.values), stream("transform_label", "pool", seed))
        test_y = _balanced(len(dataset.test_y), len(self.values), stream("transform_label", "test", seed))
        return replace(
            dataset.map_pool(lambda x: self._moved(x, pool_y, action)),
            pool_y=pool_y,
            test_x=self._moved(dataset.test_x, test_y, action),
            test_y=test_y,
            clean_x=None if dataset.clean_x is None else self._moved(dataset.clean_x, test_y, action),
            kind=Kind.CLASSIFICATION,
            outputs=len(self.values),
            classes=tuple(f"{self.operation}={value:g}" for value in self.values),
            truth=Truth(before.invariant, {self.operation: float(np.diff(sorted(self.values)).min())}),
        )

    def _moved(self, x: Array, y: Array, action: Action) -> Array:
        v = torch.tensor(self.values, dtype=torch.float32)[torch.from_numpy(y)] / action.limit
        return transformed(x, [action], {action.name: v})


def label_action(operation: str, dataset: Dataset) -> Action:
    """The action that becomes the label.

    Raises:
        UserError: the bank has none of that name; or inputs were moved by it before, as a nuisance or as the label, and
            are not as far from where they were as the label says.
    """
    bank, before = dataset.actions(), dataset.truth or Truth()
    if operation not in bank:
        raise UserError("the label must be an action of the transform bank", operation, absent(operation, bank))
    if operation in before.invariant:
        raise UserError("what is planted as a nuisance cannot be the label too", operation)
    if operation in before.harmful:
        raise UserError("what tells inputs apart already cannot become the label once more", operation,
                        "name it in one wrapper")
    return bank[operation]


def _balanced(count: int, classes: int, generator: np.random.Generator) -> Array:
    return generator.permutation(np.arange(count, dtype=np.int64) % classes)


def _check(values: tuple[float, ...], action: Action) -> None:
    low = -action.limit if action.signed else 0.0
    outside = [value for value in values if not low <= value <= action.limit]
    if outside:
        reach = max(map(abs, outside))
        raise UserError(
            f"values of `{action.name}` must lie in [{low:g}, {action.limit:g}] {action.unit}".rstrip(),
            outside,
            wider(action, reach) if reach > action.limit else "",
        )
