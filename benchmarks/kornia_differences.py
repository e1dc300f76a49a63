"""Operation by operation, how far our layers are from kornia's: `python benchmarks/kornia_differences.py`.

Eight smooth RGB images of 32 x 32, one strength of each operation, signs as kornia has them. Printed: the largest and
the mean absolute difference between both outputs, and how far the operation moves an image at all. Needs
`pip install kornia`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import kornia.enhance as enhance
import torch
from kornia.augmentation import RandomAffine
from torch import Generator, Tensor
from torch.nn.functional import interpolate

from spaces.transforms import Operation, apply
from trainables.modules.augmentation import LearnedColor

LIMIT, TURN = 45.0, 0.1


def pairs(x: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Operation -> our output and kornia's."""
    tangent = math.degrees(math.atan(0.2))
    theirs: dict[Operation, tuple[float, Callable[[Tensor], Tensor]]] = {
        Operation.ROTATION: (20.0, RandomAffine((20.0, 20.0), p=1.0)),
        Operation.SCALE: (0.2, RandomAffine(0.0, scale=(math.exp(0.2), math.exp(0.2)), p=1.0)),
        Operation.SHEAR_X: (0.2, RandomAffine(0.0, shear=(tangent, tangent), p=1.0)),
        Operation.BRIGHTNESS: (0.3, lambda image: (1.3 * image).clamp(0, 1)),
        Operation.CONTRAST: (0.3, lambda image: enhance.adjust_contrast_with_mean_subtraction(image, 1.3)),
        Operation.SATURATION: (0.3, lambda image: enhance.adjust_saturation_with_gray_subtraction(image, 1.3)),
    }
    found = {
        str(operation): (apply(operation, x, torch.full((len(x),), value / LIMIT), LIMIT), peer(x))
        for operation, (value, peer) in theirs.items()
    }
    hue = LearnedColor([Operation.HUE], start=2 * TURN)  # of a cap of half a turn
    return found | {"hue": (hue(x, torch.ones(len(x), 1)).detach(), enhance.adjust_hue(x, 2 * math.pi * TURN))}


def main() -> None:
    x = torch.rand(8, 3, 8, 8, generator=Generator().manual_seed(0))
    x = interpolate(x, size=(32, 32), mode="bicubic").clamp(0, 1)
    print(f"{'':12s}{'largest':>10s}{'mean':>10s}{'moved':>10s}")
    for name, (ours, theirs) in pairs(x).items():
        apart = (ours - theirs).abs()
        print(f"{name:12s}{float(apart.max()):10.2g}{float(apart.mean()):10.2g}{float((ours - x).abs().mean()):10.2g}")


if __name__ == "__main__":
    main()
