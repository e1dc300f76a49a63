"""Whether features have collapsed: how many directions they use, and how much of them is left under a descriptor.

Axes: M descriptors, n images, D features.
"""

from __future__ import annotations

import torch
from torch import Tensor


def effective_rank(features: Tensor) -> Tensor:
    """exp of the entropy of the normalised singular values (Roy & Vetterli 2007) of centred features.

    From 1 (all on a line) to min(n - 1, D); 0 where all images have the same features.

    Args:
        features: (..., n, D).
    """
    values = torch.linalg.svdvals(_centred(features))
    total = values.sum(-1, keepdim=True)
    share = values / total.clamp_min(torch.finfo(values.dtype).tiny)
    rank: Tensor = torch.special.entr(share).sum(-1).exp()
    return torch.where(total.squeeze(-1) > 0, rank, torch.zeros_like(rank))


def norm_ratio(features: Tensor) -> Tensor:
    """Largest over smallest spread of features under M descriptors, 0-d, >= 1; infinite where one has none.

    The spread is the root mean square distance from the mean: features of unit length have no other size.

    Args:
        features: (M, n, D).
    """
    spread = _centred(features).square().sum(-1).mean(-1).sqrt()
    ratio: Tensor = spread.amax() / spread.amin()
    return ratio


def _centred(features: Tensor) -> Tensor:
    """Minus the mean over images, float64; equal features become exactly 0."""
    wide = features.double()
    centred = wide - wide.mean(-2, keepdim=True)
    rounding = 32 * torch.finfo(features.dtype).eps * wide.abs().amax((-2, -1), keepdim=True)
    return torch.where(centred.abs() > rounding, centred, torch.zeros_like(centred))
