"""Training from scratch through an augmentation layer that learns nothing."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Generator, Tensor

from trainables.method import Context
from trainables.modules.augmentation import AugmentationLayer
from trainables.modules.layer_training import described
from trainables.modules.recipe import RecipeConfig
from trainables.modules.supervised import Supervised


class FixedAugmentation(Supervised):
    """The shared loop on train + outer, every input through the layer.

    Args:
        recipe: of the method that found the ranges; with them in it, so it is what `found` returns.
        layer: its ranges stay as they are.
        copies: draws of each input, over which outputs are averaged in training, before the loss.
    """

    def __init__(self, context: Context, recipe: RecipeConfig, layer: AugmentationLayer, copies: int = 1) -> None:
        super().__init__(context, recipe, layer.draw, copies=copies)
        self._found, self._layer = recipe, layer

    def sample(self, x: Tensor, generator: Generator) -> Tensor:
        return self._layer.draw(x, generator)

    def describe(self) -> Mapping[str, float]:
        return described(self._layer)

    def found(self) -> RecipeConfig:
        return self._found
