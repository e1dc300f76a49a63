"""Three small pieces that the operations share: per-image broadcasting, clamping, straight-through values."""

from __future__ import annotations

import torch
from torch import Tensor

from spaces.transforms.operation import Limit


def per_image(value: Tensor) -> Tensor:
    """(B,) -> (B, 1, 1, 1)."""
    return value[:, None, None, None]


def physical(v: Tensor, limit: Limit) -> Tensor:
    """v * limit as (B, 1, 1, 1)."""
    return per_image(v * limit)


def clamp_unit(x: Tensor) -> Tensor:
    """x limited to [0, 1], with derivative 1 on the closed interval.

    `torch.clamp` has derivative 0 at the bounds themselves from torch 2.15 on, and 1 before; black and white
    pixels, which are many, should not lose their gradient to an operation that leaves them alone.
    """
    above = torch.where(x < 0, 0.0, x)
    return torch.where(above > 1, 1.0, above)


def straight_through(value: Tensor, slope: Tensor, argument: Tensor) -> Tensor:
    """`value`, bit for bit, plus the derivative `slope` with respect to `argument`."""
    return value + slope.detach() * (argument - argument.detach())
