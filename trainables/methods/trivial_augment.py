"""TrivialAugment (Müller and Hutter, 2021): per image one operation and one strength, both uniform."""

from __future__ import annotations

from typing import ClassVar

from torch import Generator, Tensor

from spaces.domain import Space
from spaces.search_free import TrivialAugmentSpace, trivial_augment, trivial_augment_table
from trainables.method import Context
from trainables.modules.images import require_image
from trainables.modules.recipe import RECIPE_DOMAINS
from trainables.modules.supervised import Supervised
from trainables.modules.tail_augmentation import Mixing, TailRecipe


class Config(TailRecipe):
    """The shared recipe, and which table of operations.

    Args:
        variant: WIDE is the published table; CAPPED limits the translation, which at 32 pixels blanks an
            image of 16 or 28, to 0.45 of the side.
    """

    space: ClassVar[Space] = Space(RECIPE_DOMAINS)
    images: ClassVar[bool] = True
    control: ClassVar[bool] = True

    variant: TrivialAugmentSpace = TrivialAugmentSpace.CAPPED

    def build(self, context: Context) -> TrivialAugment:
        return TrivialAugment(context, self)


class TrivialAugment(Supervised):
    """The shared loop through the table.

    Raises:
        UserError: the problem's inputs are not images.
    """

    def __init__(self, context: Context, config: Config) -> None:
        channels, height, width = require_image("trivial_augment", context.problem.shape)
        self._table = trivial_augment_table(channels, height, width, config.variant)
        super().__init__(context, config, self.sample, Mixing.of(context, config))

    def sample(self, x: Tensor, generator: Generator) -> Tensor:
        return trivial_augment(x, generator, self._table)
