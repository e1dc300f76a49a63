"""RandAugment (Cubuk et al. 2020): N operations per image, all at strength M; N and M are tuned like the recipe."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Generator, Tensor

from spaces.domain import Int, Space
from spaces.search_free import rand_augment, rand_augment_table
from trainables.method import Context
from trainables.modules.images import require_image
from trainables.modules.recipe import RECIPE_DOMAINS, RecipeConfig
from trainables.modules.supervised import Supervised


class Config(RecipeConfig):
    """The shared recipe, N and M. The published search is a grid over both on the target network; here it is the study.

    Args:
        operations: N, per image.
        magnitude: M in 0..30.
    """

    space: ClassVar[Space] = Space({
        **RECIPE_DOMAINS, "operations": Int(low=1, high=3), "magnitude": Int(low=1, high=30),
    })
    images: ClassVar[bool] = True
    control: ClassVar[bool] = True

    operations: int = Field(default=2, ge=1)
    magnitude: int = Field(default=9, ge=0, le=30)

    def build(self, context: Context) -> RandAugment:
        """Raises UserError where the inputs are not images."""
        return RandAugment(context, self)


class RandAugment(Supervised):
    """The shared loop through the table."""

    def __init__(self, context: Context, config: Config) -> None:
        channels = require_image("rand_augment", context.problem.shape)[0]
        self._table, self._config = rand_augment_table(channels), config
        super().__init__(context, config, self.sample)

    def sample(self, x: Tensor, generator: Generator) -> Tensor:
        return rand_augment(x, generator, self._table, self._config.operations, self._config.magnitude)
