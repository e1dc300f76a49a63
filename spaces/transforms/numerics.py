"""Three small pieces that the operations share: per-image broadcasting, clamping, straight-through values."""

from __future__ import annotations

from typing import Any

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
    clamped: Tensor = _ClampUnit.apply(x)
    return clamped


class _ClampUnit(torch.autograd.Function):
    """By hand, since `torch.where` with a number takes ten times as long on a CPU as `clamp` does."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clamp(0, 1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        x, clamped = ctx.saved_tensors
        inside: Tensor = gradient * (x == clamped)
        return inside


def straight_through(value: Tensor, slope: Tensor, argument: Tensor) -> Tensor:
    """`value`, bit for bit, plus the derivative `slope` with respect to `argument`."""
    return value + slope.detach() * (argument - argument.detach())
