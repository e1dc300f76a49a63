"""Brightness, contrast, saturation, hue: x plus a signed multiple of a difference, so v = 0 changes no bit.

Gradients with respect to v and x are the derivatives; where the result is clamped to [0, 1] they are 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spaces.transforms.numerics import clamp_unit, physical
from spaces.transforms.operation import Limit


def brightness(x: Tensor, v: Tensor, limit: Limit) -> Tensor:
    """(1 + v * limit) x."""
    return clamp_unit(x + physical(v, limit) * x)


def contrast(x: Tensor, v: Tensor, limit: Limit) -> Tensor:
    """g + (1 + v * limit)(x - g), g the image's mean luma (mean of all channels unless there are three)."""
    centre = (luma(x) if x.shape[1] == 3 else x).mean((1, 2, 3), keepdim=True)
    return clamp_unit(x + physical(v, limit) * (x - centre))


def saturation(x: Tensor, v: Tensor, limit: Limit) -> Tensor:
    """y + (1 + v * limit)(x - y), y the luma of each pixel."""
    return clamp_unit(x + physical(v, limit) * (x - luma(x)))


def hue(x: Tensor, v: Tensor, limit: Limit) -> Tensor:
    """Turn the hue by v * limit turns at constant HSV saturation and value; half turns both ways coincide.

    With value V, chroma K and hue h in sextants, channel c of an HSV colour is V - K w((n_c + h) mod 6),
    where w(k) = clip(min(k, 4 - k), 0, 1) and n = 5, 3, 1. Only the difference of the two w is added to x.
    The derivative has jumps where two channels of a pixel coincide; grey pixels do not change.
    """
    chroma = x.amax(1, keepdim=True) - x.amin(1, keepdim=True)
    before = _sextant(x, chroma)
    after = before + 6 * physical(v, limit)
    offset = torch.tensor((5.0, 3.0, 1.0), dtype=x.dtype, device=x.device)[:, None, None]
    return clamp_unit(x + chroma * (_wave(offset + before) - _wave(offset + after)))


def luma(x: Tensor) -> Tensor:
    """Rec. 601 luma (B, 1, H, W) of a colour image; the weights sum to one, so grey keeps its value."""
    weights = torch.tensor((0.299, 0.587, 0.114), dtype=x.dtype, device=x.device)[:, None, None]
    return (x * weights).sum(1, keepdim=True)


def _sextant(x: Tensor, chroma: Tensor) -> Tensor:
    """Hue of each pixel in [-1, 5], in sixths of a turn; of grey pixels 0."""
    red, green, blue = x[:, :1], x[:, 1:2], x[:, 2:]
    top = x.amax(1, keepdim=True)
    divisor = torch.where(chroma == 0, torch.ones_like(chroma), chroma)  # no NaN in the gradient
    from_red, from_green, from_blue = (green - blue), (blue - red), (red - green)
    blue_or_green = torch.where(top == green, from_green / divisor + 2, from_blue / divisor + 4)
    return torch.where(top == red, from_red / divisor, blue_or_green)


def _wave(k: Tensor) -> Tensor:
    k = torch.remainder(k, 6)
    return torch.minimum(k, 4 - k).clamp(0, 1)
