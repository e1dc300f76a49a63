"""A cosine classifier in the place of a network's linear head, for losses with margins.

Axes: B examples, D features, K outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from tracking.errors import UserError
from trainables.method import NetworkBuilder

TINY = 1e-12  # added to squared lengths: dead features then have a direction of zero, and finite derivatives


class CosineHead(nn.Module):
    """scale cos(x, w_k) with rows w_k of the weight, and no bias (as in LDAM, Cao et al. 2019).

    Args:
        features: D.
        outputs: K.
        scale: > 0.
    """

    def __init__(self, features: int, outputs: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(unit(torch.randn(outputs, features)))
        self._scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, K)."""
        return cosines(x, self.weight, self._scale)


def cosines(x: Tensor, weight: Tensor, scale: float) -> Tensor:
    """scale cos(x, w_k): (B, D), (K, D) -> (B, K)."""
    return scale * linear(unit(x), unit(weight))


def unit(rows: Tensor) -> Tensor:
    """Vectors (..., D) brought to length 1."""
    return rows * (rows.square().sum(-1, keepdim=True) + TINY).rsqrt()


def with_cosine_head(builder: NetworkBuilder, scale: float) -> NetworkBuilder:
    """The same networks with a `CosineHead` for their last linear layer, drawn after all other weights.

    The builder raises UserError where the last layer with weights is no nn.Linear with as many outputs as the network.
    """

    def build(shape: tuple[int, ...], outputs: int) -> nn.Module:
        network = builder(shape, outputs)
        weighted = [(name, part) for name, part in network.named_modules() if [*part.parameters(recurse=False)]]
        name, last = weighted[-1] if weighted else ("", network)
        if not isinstance(last, nn.Linear) or last.out_features != outputs:
            raise UserError(
                "a loss with margins replaces the network's last layer, which must be linear with an output per class",
                f"{type(last).__name__} at the end of {type(network).__name__}", "another network, or another loss",
            )
        head = CosineHead(last.in_features, outputs, scale)
        if not name:
            return head
        parent, _, attribute = name.rpartition(".")
        network.get_submodule(parent).add_module(attribute, head)
        return network

    return build
