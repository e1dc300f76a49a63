"""A trained network as a program of `torch.export`: the batch size is free, and it needs none of our code."""

from __future__ import annotations

import copy
import io

import torch
from torch import Tensor, nn

NAME = "model.pt2"
SIMILAR_ENOUGH = 1e-4  # between the program and the network, relative to the largest output
EXAMPLES = 4  # images that both are tried on


def program(network: nn.Module, shape: tuple[int, ...]) -> bytes:
    """A copy of the network on the CPU, in evaluation mode, exported and tried: it loads with and without a GPU.

    Args:
        shape: of one input.

    Raises:
        RuntimeError: the program does not compute what the network does.
    """
    alone = copy.deepcopy(network).cpu().eval()
    x = torch.rand((EXAMPLES, *shape), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        made = torch.export.export(alone, (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
        for part in (x, x[:1]):
            _same(made.module()(part), alone(part))
    target = io.BytesIO()
    torch.export.save(made, target)
    return target.getvalue()


def _same(found: Tensor, expected: Tensor) -> None:
    worst = float((found - expected).abs().max())
    if not worst <= SIMILAR_ENOUGH * max(1.0, float(expected.abs().max())):
        raise RuntimeError(f"the exported network must equal the trained one, but differs by {worst:g}")
