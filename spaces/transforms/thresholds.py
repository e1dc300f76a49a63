"""Solarise and posterise: piecewise constant in their magnitude, hence with straight-through gradients.

The stand-in for d T_v / d v is T_1(x) - x, the mean over v in [0, 1] of the true (distributional) derivative:
it has the right sign and scale on average, is the same for every v, and does not die at v = 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spaces.transforms.numerics import physical, straight_through
from spaces.transforms.operation import Limit

BITS = 8  # of an ordinary image


def solarise(x: Tensor, v: Tensor, limit: Limit) -> Tensor:
    """Invert all values of at least the threshold 1 - v * limit; nothing at v = 0, not even white.

    Gradient with respect to x: the derivative, -1 where inverted and 1 elsewhere. With respect to v:
    straight-through (module docstring).
    """
    full = _solarised(x, torch.ones_like(v), limit)
    return straight_through(_solarised(x, v, limit), full - x, physical(v, 1.0))


def posterise(x: Tensor, v: Tensor, limit: Limit) -> Tensor:
    """Keep the leading round(8 - v * limit) bits of each value's 8-bit code round(255 x).

    Images whose rounded number of bits is 8 are returned as they are, so that v = 0 is the identity also on
    values that are no multiple of 1 / 255. Gradient with respect to x: straight-through with slope 1, the
    mean slope of the staircase. With respect to v: straight-through (module docstring).
    """
    full = _posterised(x, torch.ones_like(v), limit)
    steps = _posterised(x, v, limit)
    return straight_through(straight_through(steps, full - x, physical(v, 1.0)), torch.ones_like(x), x)


def _solarised(x: Tensor, v: Tensor, limit: Limit) -> Tensor:
    reached = (x >= 1 - physical(v, limit)) & (physical(v, 1.0) > 0)
    return torch.where(reached, 1 - x, x)


def _posterised(x: Tensor, v: Tensor, limit: Limit) -> Tensor:
    """Without gradient."""
    x = x.detach()
    dropped = BITS - torch.round(BITS - physical(v, limit).detach())
    step = torch.exp2(dropped)
    levels = 2**BITS - 1
    kept = torch.floor(torch.round(x * levels) / step) * step / levels
    return torch.where(dropped == 0, x, kept)
