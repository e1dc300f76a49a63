"""Operations without a strength of their own: v is the weight of (1 - v) x + v op(x).

The gradient with respect to v is the true one, op(x) - x. A caller that wants a probability draws v from {0,
1}; both ends are exact.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spaces.transforms.numerics import physical, straight_through
from spaces.transforms.operation import Limit

BINS = 256


def flip_horizontal(x: Tensor, v: Tensor, limit: Limit) -> Tensor:
    """Exchange left and right."""
    return _blend(x, x.flip(-1), v, limit)


def flip_vertical(x: Tensor, v: Tensor, limit: Limit) -> Tensor:
    """Exchange top and bottom."""
    return _blend(x, x.flip(-2), v, limit)


def invert(x: Tensor, v: Tensor, limit: Limit) -> Tensor:
    """1 - x; at v = 1/2 every image is the same grey."""
    return _blend(x, 1 - x, v, limit)


def autocontrast(x: Tensor, v: Tensor, limit: Limit) -> Tensor:
    """Stretch each channel of each image to [0, 1]; a constant channel stays. True gradient also to x."""
    low, high = x.amin((-2, -1), keepdim=True), x.amax((-2, -1), keepdim=True)
    constant = high == low
    low = torch.where(constant, torch.zeros_like(low), low)
    span = torch.where(constant, torch.ones_like(low), high - low)
    return _blend(x, (x - low) / span, v, limit)


def equalise(x: Tensor, v: Tensor, limit: Limit) -> Tensor:
    """Flatten the histogram of each channel of each image: Pillow's integer rule on the codes round(255 x).

    Deviation: where Pillow's step of pixels per grey level is 0, as in every image below 255 pixels, Pillow
    returns the image unchanged; here the step is then a real number. A constant channel stays.

    Gradient with respect to v: true. With respect to x: straight-through with slope 1, since a look-up table
    is piecewise constant.
    """
    table = straight_through(_equalised(x.detach()), torch.ones_like(x), x)
    return _blend(x, table, v, limit)


def _blend(x: Tensor, other: Tensor, v: Tensor, limit: Limit) -> Tensor:
    # lerp is exact at both ends, x + w (other - x) only at w = 0.
    return torch.lerp(x, other, physical(v, limit).to(x.dtype).expand_as(x))


def _equalised(x: Tensor) -> Tensor:
    codes = torch.round(x * (BINS - 1)).long().clamp(0, BINS - 1).flatten(-2)  # (B, C, H W)
    counts = torch.zeros(*codes.shape[:2], BINS, dtype=torch.long, device=x.device)
    counts = counts.scatter_add(-1, codes, torch.ones_like(codes))
    below = counts.cumsum(-1) - counts
    # Pillow: step = (pixels - pixels of the brightest value) // 255 and
    # table[k] = (step // 2 + pixels below k) // step.
    spread = codes.shape[-1] - counts.gather(-1, codes.amax(-1, keepdim=True))
    step = spread // (BINS - 1)
    pillow = (below + step // 2) // step.clamp(min=1)
    # The same with a real step, for images of few pixels.
    exact = (2 * (BINS - 1) * below + spread) // (2 * spread).clamp(min=1)
    table = torch.where(step > 0, pillow, exact).clamp(0, BINS - 1)
    flattened = table.gather(-1, codes).view_as(x).to(x.dtype) / (BINS - 1)
    return torch.where((spread == 0)[..., None], x, flattened)
