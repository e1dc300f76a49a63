"""A classifier and a critic on one trunk, and the Wasserstein losses between two sets of images.

Axes: B images, C classes.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

FEATURES = 32  # of the trunk that the critic reads


class Critic(nn.Module):
    """The comparison's own network with more outputs: logits, and features for a critic of two layers.

    Args:
        network: (B, *shape) -> (B, C + FEATURES).
        outputs: C.
    """

    def __init__(self, network: nn.Module, outputs: int) -> None:
        super().__init__()
        self.network, self.outputs = network, outputs
        self.head = nn.Sequential(nn.Linear(FEATURES, FEATURES), nn.ReLU(), nn.Linear(FEATURES, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, C) and the critic's values (B,)."""
        both = self.network(x)
        return both[:, : self.outputs], self.head(both[:, self.outputs :])[:, 0]


def gradient_penalty(critic: Critic, real: Tensor, made: Tensor, generator: Generator) -> Tensor:
    """E (|grad_x D(x)| - 1)^2 at random points between pairs (Gulrajani et al. 2017), 0-d.

    The norm is over all of an image, one per image: over channels, pixel by pixel, as in published code, it is another
    and far weaker constraint.
    """
    share = torch.rand(len(real), generator=generator, device=generator.device).to(real)
    between = torch.lerp(real, made, share.view(-1, *[1] * (real.dim() - 1))).detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(between)[1].sum(), between, create_graph=True)
    penalty: Tensor = (slope.flatten(1).norm(dim=1) - 1).square().mean()
    return penalty
