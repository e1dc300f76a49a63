"""A lab of one's own: a method, a source of data, a wrapper and a network."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from spaces.domain import Float, Space
from spaces.transforms import Operation, apply
from trainables.method import Context
from trainables.modules.recipe import RECIPE_DOMAINS, RecipeConfig
from trainables.modules.supervised import Supervised
from trainables.problems.dataset import Array, Dataset, SourceConfig, WrapperConfig, labelled, stream
from trainables.problems.problem import Truth


class RandomTurn(RecipeConfig):
    """The shared recipe; every image is turned by up to `width_deg` to either side."""

    name: ClassVar[str] = "random_turn"
    space: ClassVar[Space] = Space({**RECIPE_DOMAINS, "width_deg": Float(low=5.0, high=180.0)})

    width_deg: float = Field(default=30.0, gt=0, le=180)

    def build(self, context: Context) -> Turned:
        return Turned(context, self)


class Turned(Supervised):
    """The shared training loop through `sample`."""

    def __init__(self, context: Context, config: RandomTurn) -> None:
        self._width_deg = config.width_deg
        super().__init__(context, config, augment=self.sample)

    def sample(self, x: Tensor, generator: Generator) -> Tensor:
        v = 2 * torch.rand(len(x), generator=generator) - 1  # (B,) in [-1, 1], from the given generator only
        return apply(Operation.ROTATION, x, v.to(x), limit=self._width_deg)


class Bars(SourceConfig):
    """Does the bar stand or lie? A quarter turn changes the answer."""

    name: ClassVar[str] = "bars"

    side: int = Field(default=12, ge=8)
    images: int = Field(default=240, ge=48)

    def load(self, seed: int) -> Dataset:
        dataset = labelled(*self._images("pool", seed), *self._images("test", seed), ("standing", "lying"))
        return replace(dataset, truth=Truth(harmful={"rotation": 90.0}))  # no method sees this; the report does

    def _images(self, part: str, seed: int) -> tuple[Array, Array]:
        """(N, 1, side, side) in 0..255 and (N,) labels: the same on every node, for the same seed."""
        generator, y = stream("bars", part, seed), np.arange(self.images) % 2
        place = generator.integers(1, self.side - 1, (self.images, 1))
        bar = np.abs(np.arange(self.side) - place) <= 1  # (N, side)
        ink = np.where((y == 0)[:, None, None], bar[:, None, :], bar[:, :, None])
        noise = generator.integers(0, 60, ink.shape)
        return (180 * ink + noise).astype(np.uint8)[:, None], y


class Negative(WrapperConfig):
    """Black becomes white, in every split."""

    name: ClassVar[str] = "negative"

    def wrap(self, dataset: Dataset, seed: int) -> Dataset:
        clean = None if dataset.clean_x is None else 255 - dataset.clean_x  # of a nuisance before this wrapper
        return replace(dataset.map_pool(lambda x: 255 - x), test_x=255 - dataset.test_x, clean_x=clean)


def tiny_cnn(shape: tuple[int, ...], outputs: int) -> nn.Module:
    """One convolution, the maximum over positions, a linear head."""
    return nn.Sequential(
        nn.Conv2d(shape[0], 16, 5, padding=2), nn.ReLU(),
        nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(16, outputs),
    )


NETWORKS = {"tiny_cnn": tiny_cnn}
