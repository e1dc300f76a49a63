"""Several layers one after the other."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from tracking.errors import UserError
from trainables.modules.augmentation.layer import AugmentationLayer, LearnedRange


class Compose(AugmentationLayer):
    """a_L o ... o a_1; noise, shares and gates of the layers side by side.

    Args:
        layers: at least one. Warps first, colours last: interpolation commutes with neither clamp nor flip order.

    Raises:
        UserError: no layer.
    """

    def __init__(self, *layers: AugmentationLayer) -> None:
        super().__init__()
        if not layers:
            raise UserError("a composition needs a layer", "none")
        self.layers = nn.ModuleList(layers)

    def configuration(self) -> dict[str, Any]:
        return {**super().configuration(), "count": len(self.layers)}

    def noise_size(self) -> int:
        return sum(layer.noise_size() for layer in self.parts())

    @property
    def shares(self) -> Tensor:
        return torch.cat([layer.shares for layer in self.parts()])

    @property
    def gates(self) -> Tensor:
        return torch.cat([layer.gates for layer in self.parts()])

    def learned(self) -> tuple[LearnedRange, ...]:
        """A name that occurs again is told apart by its number."""
        seen: Counter[str] = Counter()
        found = []
        for one in (one for layer in self.parts() for one in layer.learned()):
            seen[one.name] += 1
            found.append(one if seen[one.name] == 1 else replace(one, name=f"{one.name}-{seen[one.name]}"))
        return tuple(found)

    def check(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        for layer in self.parts():
            layer.check(shape, dtype)

    def augment(self, x: Tensor, noise: Tensor, active: Tensor | None = None) -> Tensor:
        self.require(x, noise)
        layers = self.parts()
        noises = torch.split(noise, [layer.noise_size() for layer in layers], -1)
        sizes = [len(layer.shares) for layer in layers]
        actives = [None] * len(layers) if active is None else torch.split(active, sizes, -1)
        for layer, own, some in zip(layers, noises, actives, strict=True):
            x = layer.augment(x, own, some)
        return x

    def parts(self) -> tuple[AugmentationLayer, ...]:
        """The layers, in order."""
        return tuple(layer for layer in self.layers if isinstance(layer, AugmentationLayer))
