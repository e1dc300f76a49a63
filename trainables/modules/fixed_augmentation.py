"""Training from scratch through an augmentation layer that learns nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Generator, Tensor

from trainables.method import Context
from trainables.modules.augmentation import AugmentationLayer
from trainables.modules.augmentation.takeaway import export
from trainables.modules.layer_training import described, shown_inputs
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

    def export(self, folder: Path) -> Mapping[str, str]:
        """See `augmentation.takeaway`."""
        return export_fixed(self._layer, self._context, folder)

    def found(self) -> RecipeConfig:
        return self._found


def export_fixed(layer: AugmentationLayer, context: Context, folder: Path) -> dict[str, str]:
    """See `augmentation.takeaway`; there are no curves of what nothing moved."""
    return export(layer, torch.zeros(0, len(layer.shares)), torch.zeros(0), shown_inputs(context), folder)
