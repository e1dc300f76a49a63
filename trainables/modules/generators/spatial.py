"""Images under warps with uniform strengths: the parametric T of a spatial generator, and who judges it.

Axes: B images, C channels, H height, W width, Q warps.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Generator, Tensor, nn

from spaces.transforms import AffineParameters, Operation, affine_matrix, warp
from spaces.transforms.geometric import FIELD
from trainables.modules.generators.style_network import SLOPE

# What may be learned, with the widest half-width: any turn, a quarter of the side, e^(+-.5), a slope of one half.
# Another shear would be this one between two turns.
CAPS: dict[Operation, float] = {
    Operation.ROTATION: 180.0, Operation.TRANSLATE_X: 0.25, Operation.TRANSLATE_Y: 0.25, Operation.SCALE: 0.5,
    Operation.SHEAR_X: 0.5,
}
HALVINGS = 3  # of the discriminator's image


def moved(x: Tensor, strengths: Tensor) -> Tensor:
    """One warp of each image (B, C, H, W) in [0, 1] by physical strengths (B, Q), in the order of `CAPS`."""
    fields = {FIELD[operation]: strengths[:, place] for place, operation in enumerate(CAPS)}
    return warp(x, affine_matrix(AffineParameters(**fields), x.shape[-2], x.shape[-1]), exact=False)


def uniform(size: int, generator: Generator) -> Tensor:
    """(B, Q) in [-1, 1], on the generator's device."""
    return 2 * torch.rand(size, len(CAPS), generator=generator, device=generator.device) - 1


class Judge(nn.Module):
    """(B, C, H, W) -> (B, 1): the whole image at once, for turns are global."""

    def __init__(self, shape: tuple[int, ...], width: int) -> None:
        super().__init__()
        channels, layers = shape[0], list[nn.Module]()
        sides = list(shape[1:])
        for outputs in (width, 2 * width, 2 * width):
            layers += [nn.Conv2d(channels, outputs, 3, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
            channels, sides = outputs, [-(-side // 2) for side in sides]
        self.stages = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * prod(sides), 1))

    def forward(self, x: Tensor) -> Tensor:
        value: Tensor = self.stages(x)
        return value
