"""An extractor together with what it needs during pre-training alone: contrastive heads, and a linear reader.

Axes: G groups of images that share a descriptor, n images of a group, K factors, P parameters, D features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from spaces.descriptors import Family
from trainables.modules.conditioned import ConditionedExtractor, ExtractorConfig

EMBEDDING = 64  # length of what the contrastive loss compares


class PretrainingNetwork(nn.Module):
    """The extractor, and what is thrown away after pre-training: contrastive heads and the linear reader of theta."""

    extractor: ConditionedExtractor

    def __init__(self, shape: ExtractorConfig, family: Family, heads: int) -> None:
        super().__init__()
        self.extractor = ConditionedExtractor(shape)
        inside, reads = shape.features, shape.factors if heads == 1 else 0
        self.first = nn.Parameter(torch.randn(heads, inside + reads, inside) * (2 / (inside + reads)) ** 0.5)
        self.second = nn.Parameter(torch.randn(heads, inside, EMBEDDING) * (2 / inside) ** 0.5)
        self.reader = nn.Linear(inside, len(family.operations))

    def head(self, features: Tensor, descriptors: Tensor, heads: Tensor) -> Tensor:
        """(G, n, D) -> (G, n, E), by the group's own head."""
        scaled = features * math.sqrt(features.shape[-1])
        if len(self.first) == 1:
            scaled = torch.cat((scaled, descriptors[:, None].expand(-1, features.shape[1], -1)), -1)
        return silu(scaled @ self.first[heads]) @ self.second[heads]

    def read(self, features: Tensor) -> Tensor:
        """(G, n, D) -> (G, n, P)."""
        return self.reader(features * math.sqrt(features.shape[-1]))  # type: ignore[no-any-return]
