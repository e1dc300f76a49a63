"""Warps of images, and a network that says by how much an image may have been warped.

Axes: B images, C channels, H height, W width, Q warps, N bins of a strength.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple, Self

import torch
from torch import Generator, Tensor, nn

from spaces.transforms import AffineParameters, Operation, Padding, affine_matrix, warp
from spaces.transforms.geometric import FIELD

# What may be learned, with the widest strength that is tried: any turn, two fifths of the side, e^(+-.8), a slope of
# four fifths. Strengths that do not go round find ranges of half of that. Another shear would be this one between two
# turns.
CAPS: dict[Operation, float] = {
    Operation.ROTATION: 180.0, Operation.TRANSLATE_X: 0.4, Operation.TRANSLATE_Y: 0.4, Operation.SCALE: 0.8,
    Operation.SHEAR_X: 0.8,
}
SMALLEST = 4  # side of what the network flattens, about
GROUPS = 4    # of normalisation
NOISE = 0.05  # standard deviation
TURN, ZOOM, SLOPE = 2.5, 0.015, 0.03  # of the jitter: degrees, log factor, tangent
MOST = 2**18  # numbers of the images of a chunk: bounds memory


def frames(strengths: Tensor, height: int, width: int) -> Tensor:
    """Sampling matrices (B, 3, 3) of physical strengths (B, Q), in the order of `CAPS`; the last row is (0, 0, 1)."""
    fields = {FIELD[operation]: strengths[:, place] for place, operation in enumerate(CAPS)}
    matrix = affine_matrix(AffineParameters(**fields), height, width)
    return torch.cat((matrix, matrix.new_tensor([0.0, 0.0, 1.0]).expand(len(matrix), 1, 3)), 1)


def seen(x: Tensor, frame: Tensor) -> Tensor:
    """Images (B, C, H, W) through frames (B, 3, 3): x'(u) = x(frame u).

    What comes into view from outside is as the border is: black would show on any other ground.
    """
    return warp(x, frame[:, :2], Padding.BORDER, exact=False)


def shown(x: Tensor, noise: Tensor) -> Tensor:
    """What the network sees of images: noise (B, C, H, W), standard normal, hides what resampling does to pixels.

    To theirs, and to those that came about by a turn themselves: an edge of steps would say by how much.
    """
    return x + NOISE * noise


def alone(strength: Tensor, place: Tensor | int) -> Tensor:
    """Shares (B,) of the cap of the warp at `place`, all others 0: physical strengths (B, Q)."""
    caps = torch.tensor(list(CAPS.values()), device=strength.device)
    at = nn.functional.one_hot(torch.as_tensor(place, device=strength.device), len(CAPS))
    return strength[:, None] * (at * caps).expand(len(strength), -1)


def uniform(size: int, generator: Generator) -> Tensor:
    """(B, Q) in [-1, 1], on the generator's device."""
    return 2 * torch.rand(size, len(CAPS), generator=generator, device=generator.device) - 1


class WarpNetwork(nn.Module):
    """(B, C, H, W) in [0, 1] -> log-odds (B, Q, N) of each warp's strength, in N equal bins of [-cap, cap].

    Args:
        shape: (C, H, W).
        width: channels of the first layer; a multiple of 4.
        hidden: of the layer that sees the whole image, for turns are global.
        bins: N.
    """

    def __init__(self, shape: tuple[int, ...], width: int, hidden: int, bins: int) -> None:
        super().__init__()
        self.bins = bins
        sides, stages = list(shape[1:]), 1
        while min(sides) >> (stages + 1) >= SMALLEST - 1:
            stages += 1
        channels = [shape[0], *(min(2**stage, 4) * width for stage in range(stages))]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(channels):
            layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.GroupNorm(GROUPS, outputs), nn.ReLU()]
            sides = [-(-side // 2) for side in sides]
        flat = channels[-1] * sides[0] * sides[1]
        self.stages = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(flat, hidden), nn.ReLU(), nn.Linear(hidden, len(CAPS) * bins)
        )

    def forward(self, x: Tensor) -> Tensor:
        value: Tensor = self.stages(x)
        return value.view(len(x), len(CAPS), self.bins)


def nucleus(probabilities: Tensor, share: float) -> Tensor:
    """(B, N) without the least probable bins, as many as leave at least `share` of the mass; sums are 1 again."""
    falling, order = probabilities.sort(dim=-1, descending=True, stable=True)
    kept = falling.cumsum(-1) - falling < share  # the mass before a bin
    mask = torch.zeros_like(kept).scatter(-1, order, kept)
    left = torch.where(mask, probabilities, 0.0)
    return left / left.sum(-1, keepdim=True)


def strengths_at(probabilities: Tensor, u: Tensor) -> Tensor:
    """Strengths in [-1, 1] at quantiles u (B,) in [0, 1): (B, N) -> (B,); uniform within a bin."""
    cumulative = probabilities.cumsum(-1)
    u = u.clamp(max=1 - 1e-6) * cumulative[:, -1]
    place = torch.searchsorted(cumulative, u[:, None], right=True).clamp(max=probabilities.shape[-1] - 1)
    inside = (u[:, None] - (cumulative - probabilities).gather(1, place)) / probabilities.gather(1, place)
    found: Tensor = 2 * (place + inside.clamp(0, 1)) / probabilities.shape[-1] - 1
    return found[:, 0]


def half_width(probabilities: Tensor) -> Tensor:
    """(..., N) -> (...): the half-width, in [0, 1], of a uniform distribution with the same entropy."""
    entropy: Tensor = torch.special.entr(probabilities).sum(-1)
    return entropy.exp() / probabilities.shape[-1]


class Draw(NamedTuple):
    """The randomness of one draw for each of B images.

    Args:
        jitter: (B, Q) in [-1, 1].
        u: (B, Q) in [0, 1), the quantiles that are drawn.
        noise: (B, C, H, W), standard normal.
    """

    jitter: Tensor
    u: Tensor
    noise: Tensor

    @classmethod
    def of(cls, x: Tensor, generator: Generator) -> Self:
        """For images x (B, C, H, W), on their device."""
        jitter, u = uniform(len(x), generator), uniform(len(x), generator)
        noise = torch.randn(x.shape, generator=generator, device=generator.device)
        return cls(jitter.to(x), ((u + 1) / 2).to(x), noise.to(x))


class Redraws:
    """x' on the orbit of x: for every warp in turn, one draw of how it may have come about is undone.

    Args:
        network: a trained `WarpNetwork`.
        share: of the probability that draws are made from, see `nucleus`.
    """

    def __init__(self, network: WarpNetwork, share: float) -> None:
        self._network, self._share = network, share

    @torch.no_grad()
    def __call__(self, x: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W), and how wide the draws of each warp were: half-widths (B, Q), in shares of the caps."""
        if not len(x):
            return x, x.new_zeros(0, len(CAPS))
        parts = zip(*(torch.split(part, max(1, MOST // x[0].numel())) for part in (x, *draw)), strict=True)
        made, widths = zip(*(self._redrawn(part, Draw(*numbers)) for part, *numbers in parts), strict=True)
        return torch.cat(made), torch.cat(widths)

    def _redrawn(self, x: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        size = (x.shape[-2], x.shape[-1])
        frame = frames(jittered(draw.jitter, *size), *size)
        widths = []
        for place in range(len(CAPS)):
            possible = self._network(shown(seen(x, frame), draw.noise))[:, place].softmax(-1)
            likely = nucleus(possible, self._share)
            widths.append(half_width(likely))
            strength = strengths_at(likely, draw.u[:, place])
            frame = frame @ frames(alone(-strength, place), *size)  # undoes it: strengths of one warp add up
        return seen(x, frame).clamp(0, 1), torch.stack(widths, 1)


def jittered(u: Tensor, height: int, width: int) -> Tensor:
    """Strengths (B, Q) at shares u (B, Q) in [-1, 1]: half a pixel of shift, and little of the rest.

    Whatever is shown or made was resampled: else sharp images would be known as not moved.
    """
    return u * torch.tensor([TURN, 0.5 / width, 0.5 / height, ZOOM, SLOPE], device=u.device)
