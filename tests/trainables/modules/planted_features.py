"""Synthetic extractors whose right descriptor is known: what a factor adds is scaled by 1 - i_k.

Axes: M descriptors, K factors, n examples, d features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from trainables.modules.evaluated import Targets

FACTORS, CONTENT, WIDTH, CLASSES = 5, 4, 6, 3


@dataclass(frozen=True)
class Planted:
    """Features [content, (1 - i_1) u_1, ..., (1 - i_K) u_K]: invariance to a factor removes its dimensions.

    Args:
        content: (n, CONTENT).
        factors: (n, K, WIDTH) already scaled by how much each factor disturbs.
        labels: (n,) in 0 .. CLASSES - 1.
        right: (K,) the descriptor that keeps what the label is made of and removes what disturbs.
    """

    content: Tensor
    factors: Tensor
    labels: Tensor
    right: Tensor

    def __call__(self, descriptors: Tensor, rows: Tensor | None) -> Tensor:
        content = self.content if rows is None else self.content[rows]
        factors = self.factors if rows is None else self.factors[rows]
        kept = (1 - descriptors)[:, None, :, None] * factors  # (M, n, K, WIDTH)
        return torch.cat([content.expand(len(descriptors), -1, -1), kept.flatten(2)], dim=-1)

    @property
    def targets(self) -> Targets:
        return Targets.of_labels(self.labels, CLASSES)

    def shuffled(self, seed: int) -> Planted:
        """Labels that mean nothing."""
        order = torch.randperm(len(self.labels), generator=Generator().manual_seed(seed))
        return replace(self, labels=self.labels[order])

    def split(self, count: int) -> tuple[Planted, Planted]:
        """The first `count` examples and the rest."""
        first, rest = slice(0, count), slice(count, None)
        return tuple(
            replace(self, content=self.content[s], factors=self.factors[s], labels=self.labels[s])
            for s in (first, rest)
        )  # type: ignore[return-value]


def planted(seed: int, examples: int, label_factor: int | None = None, disturbance: float = 2.0) -> Planted:
    """A task whose label is made of the content, or of one factor (so that invariance to it harms).

    Args:
        label_factor: which factor the label is made of; None for the content.
        disturbance: standard deviation of the factors; the content's is 1.
    """
    generator = Generator().manual_seed(seed)
    content = torch.randn(examples, CONTENT, generator=generator)
    factors = disturbance * torch.randn(examples, FACTORS, WIDTH, generator=generator)
    right = torch.ones(FACTORS)
    source = content
    if label_factor is not None:
        source, right[label_factor] = factors[:, label_factor] / disturbance, 0.0
    noisy = source[:, :CLASSES] + 0.3 * torch.randn(examples, CLASSES, generator=generator)
    return Planted(content, factors, noisy.argmax(-1), right)
