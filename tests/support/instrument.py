"""A plug-in for testing the instrument: the oracle's augmentation, and labels that mean nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Generator, Tensor

from spaces.domain import Space
from trainables.method import Context
from trainables.modules.recipe import RECIPE_DOMAINS, RecipeConfig
from trainables.modules.supervised import Supervised
from trainables.problems.dataset import Dataset, WrapperConfig, stream


class Oracle(RecipeConfig):
    """Augments with the rotation that it is told: what a perfect search would arrive at.

    Args:
        half_width: degrees.
    """

    name: ClassVar[str] = "oracle_rotation"
    space: ClassVar[Space] = Space(RECIPE_DOMAINS)
    half_width: float = 60.0

    def build(self, context: Context) -> Supervised:
        rotation = next(action for action in context.problem.transform_bank if action.name == "rotation")

        def augment(x: Tensor, generator: Generator) -> Tensor:
            v = (torch.rand(len(x), generator=generator) * 2 - 1) * (self.half_width / rotation.limit)
            return rotation.apply(x, v)

        return Supervised(context, self, augment)


class ShuffledLabels(WrapperConfig):
    """Every label is replaced by another example's: there is nothing to learn."""

    name: ClassVar[str] = "shuffled_everywhere"

    def wrap(self, dataset: Dataset, seed: int) -> Dataset:
        return replace(
            dataset,
            pool_y=stream("shuffled", "pool", seed).permutation(dataset.pool_y),
            test_y=stream("shuffled", "test", seed).permutation(dataset.test_y),
        )
