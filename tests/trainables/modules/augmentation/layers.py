"""One small layer of every kind, with inputs that it is made for."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from spaces.transforms import Operation
from trainables.modules.augmentation import (
    AugmentationLayer,
    Compose,
    LearnedAffine,
    LearnedColor,
    LearnedFlip,
    LearnedSignal,
    LieAffine,
    Ranges,
    Selection,
    SelectLayer,
)

BOTH = (Operation.FLIP_HORIZONTAL, Operation.FLIP_VERTICAL)
LAYERS: dict[str, Callable[[], AugmentationLayer]] = {
    "affine": LearnedAffine,
    "lie": LieAffine,
    "colour": LearnedColor,
    "grey": lambda: LearnedColor((Operation.BRIGHTNESS, Operation.CONTRAST)),
    "flip": lambda: LearnedFlip(BOTH),
    "soft": lambda: SelectLayer(LearnedAffine()),
    "gumbel": lambda: SelectLayer(LearnedColor(), mode=Selection.GUMBEL),
    "signal": lambda: LearnedSignal(32, 32.0, channels=2),
    "composed": lambda: Compose(LearnedAffine(), LearnedFlip(), LearnedColor()),
}


def made(name: str, share: float | None = None) -> AugmentationLayer:
    """In double precision, with every range at a share of its cap."""
    layer = LAYERS[name]().double()
    if share is not None:
        for module in layer.modules():
            if isinstance(module, Ranges):
                module.set_widths((module.caps * share).tolist())
    return layer


def inputs(name: str, size: int = 3, seed: int = 0) -> Tensor:
    """Smooth images with values well inside [0, 1], or signals, float64."""
    g = Generator().manual_seed(seed)
    if name == "signal":
        return torch.randn(size, 2, 32, generator=g, dtype=torch.float64)
    channels = 1 if name == "grey" else 3
    x = torch.rand(size, channels, 3, 4, generator=g, dtype=torch.float64)
    return 0.35 + 0.3 * torch.nn.functional.interpolate(x, size=(9, 12), mode="bicubic").clamp(0, 1)


def noise(layer: AugmentationLayer, size: int, seed: int = 1) -> Tensor:
    return layer.sample(size, Generator().manual_seed(seed)).double()
