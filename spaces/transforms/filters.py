"""Sharpness and Gaussian blur: linear filters with reflecting or untouched borders; true gradients."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from spaces.transforms.numerics import clamp_unit, physical
from spaces.transforms.operation import Limit


def sharpness(x: Tensor, v: Tensor, limit: Limit) -> Tensor:
    """s + (1 + v * limit)(x - s), s the image smoothed with the 3 x 3 kernel of ones with 5 in the middle.

    v > 0 sharpens, v < 0 smooths. As in Pillow the outermost ring of pixels stays as it is, hence an image
    with a side below 3 stays as it is.
    """
    return clamp_unit(x + physical(v, limit) * _detail(x))


def gaussian_blur(x: Tensor, v: Tensor, limit: Limit) -> Tensor:
    """Blur with standard deviation sigma = v * limit times the shorter side.

    The discrete Gaussian (Lindeberg 1990): heat flow on the pixel grid with reflecting borders for the time
    sigma^2 / 2, exact for every real sigma. Its eigenvectors are the cosines of the DCT, its eigenvalues
    exp(-sigma^2 (1 - cos(pi k / N))). Unlike a sampled kernel it needs no radius, loses no mass, creates no
    new extremum, and depends smoothly on sigma down to 0. The derivative at v = 0 is 0, as blur is even in
    sigma.
    """
    height, width = x.shape[-2:]
    variance = (v * limit * min(height, width)).square()[:, None]
    rows, row_rate = _cosines(height, x)
    columns, column_rate = _cosines(width, x)
    # expm1 keeps what is removed, not what remains: nothing is removed at sigma = 0, not even by rounding.
    rate = variance[..., None] * (row_rate[:, None] + column_rate)  # (B, H, W)
    removed = torch.expm1(-rate)[:, None] * (rows @ x @ columns.mT)
    return clamp_unit(x + rows.mT @ removed @ columns)


def _detail(x: Tensor) -> Tensor:
    """x minus its smoothed self, (9 * mean + 4 * middle) / 13; zero on the outermost ring."""
    if min(x.shape[-2:]) < 3:
        return torch.zeros_like(x)
    middle = x[..., 1:-1, 1:-1]
    return pad((middle - avg_pool2d(x, 3, stride=1)) * (9 / 13), (1, 1, 1, 1))


def _cosines(side: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """The orthonormal DCT-II (N, N), one frequency per row, and 1 - cos(pi k / N) of each frequency (N,)."""
    k = torch.arange(side, dtype=torch.float64, device=like.device)
    basis = torch.cos(math.pi / side * k[:, None] * (k + 0.5)) * math.sqrt(2 / side)
    basis[0] = math.sqrt(1 / side)
    return basis.to(like.dtype), (1 - torch.cos(math.pi * k / side)).to(like.dtype)
