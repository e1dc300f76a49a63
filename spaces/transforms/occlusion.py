"""Cutout: a black square, with the exact area that it covers of every pixel."""

from __future__ import annotations

import torch
from torch import Tensor

from spaces.transforms.operation import Limit


def cutout(x: Tensor, v: Tensor, limit: Limit, centre: Tensor | None = None) -> Tensor:
    """Multiply each pixel by the part of it that a square of side v * limit * min(H, W) leaves free.

    DeVries & Taylor 2017 paint whole pixels, which has no derivative in the side; here a pixel that is half
    covered is half as bright, so the gradient with respect to v is the true one (0 at v = 0: the area grows
    with v^2).

    Args:
        centre: of the square, (B, 2) as fractions of width and height; may lie so that the square is cut off
            by
            the border. The image centre if None.
    """
    height, width = x.shape[-2:]
    side = (v * limit * min(height, width))[:, None]
    if centre is None:
        centre = torch.full((len(x), 2), 0.5, dtype=x.dtype, device=x.device)
    covered_x = _covered(centre[:, :1] * width, side, width)  # (B, W)
    covered_y = _covered(centre[:, 1:] * height, side, height)  # (B, H)
    return x * (1 - covered_y[:, None, :, None] * covered_x[:, None, None, :])


def _covered(middle: Tensor, side: Tensor, count: int) -> Tensor:
    """Length of [i, i + 1] inside [middle - side / 2, middle + side / 2] for each pixel i, (B, count)."""
    left = torch.arange(count, dtype=side.dtype, device=side.device)
    overlap = torch.minimum(left + 1, middle + side / 2) - torch.maximum(left, middle - side / 2)
    return torch.relu(overlap)
