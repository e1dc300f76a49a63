"""Features as a function of the descriptor, in pieces of bounded size, counted.

Axes: M descriptors, K entries, n examples, d features.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor


class Features(Protocol):
    """A task's images under many descriptors: deterministic, differentiable in the descriptors.

    Args:
        descriptors: (M, K) in [0, 1].
        rows: (n,) indices of examples, or None for all.

    Returns:
        (M, n, d).
    """

    def __call__(self, descriptors: Tensor, rows: Tensor | None) -> Tensor: ...


class CountedFeatures:
    """Features in pieces of bounded size, counted.

    Args:
        features: what is evaluated.
        examples: how many images it holds.
        max_pairs: (descriptor, image) pairs per call at most; bounds the memory of the network's activations.

    Attributes:
        forward: pairs evaluated without gradient so far.
        gradient: pairs evaluated forward and backward so far.
    """

    def __init__(self, features: Features, examples: int, max_pairs: int) -> None:
        assert max_pairs >= 1
        self._features, self._examples, self._max_pairs = features, examples, max_pairs
        self.forward, self.gradient = 0, 0

    def pieces(self, count: int, rows: Tensor | None) -> Iterator[slice]:
        """Slices of `count` descriptors, each small enough for one call where one descriptor is."""
        size = max(1, self._max_pairs // self._length(rows))
        return (slice(start, min(start + size, count)) for start in range(0, count, size))

    @torch.no_grad()
    def plain(self, descriptors: Tensor, rows: Tensor | None = None) -> Tensor:
        """(M, n, d) without gradient."""
        self.forward += len(descriptors) * self._length(rows)
        blocks = [self._call(descriptors, block) for block in self._blocks(len(descriptors), rows)]
        return torch.cat(blocks, dim=1)

    def tracked(self, descriptors: Tensor) -> Tensor:
        """(M, n, d) of all examples, differentiable in the descriptors.

        Where not all images fit into one call, activations are recomputed in the backward pass, block by block:
        memory stays bounded for one more forward evaluation.
        """
        pairs = len(descriptors) * self._examples
        self.gradient += pairs
        blocks = list(self._blocks(len(descriptors), None))
        if len(blocks) == 1:
            return self._call(descriptors, None)
        self.forward += pairs
        features: Tensor = _Recomputed.apply(descriptors, self._call, blocks)
        return features

    def _call(self, descriptors: Tensor, rows: Tensor | None) -> Tensor:
        features = self._features(descriptors, rows)
        expected = (len(descriptors), self._length(rows))
        if features.dim() != 3 or features.shape[:2] != expected:
            raise ValueError(f"features must be {(*expected, 'd')}, got {tuple(features.shape)}")
        return features

    def _blocks(self, count: int, rows: Tensor | None) -> Iterator[Tensor | None]:
        """Rows in blocks that keep count * block within the bound; None alone means all in one call."""
        size = max(1, self._max_pairs // count)
        if self._length(rows) <= size:
            return iter((rows,))
        chosen = torch.arange(self._examples) if rows is None else rows
        return iter(torch.split(chosen, size))

    def _length(self, rows: Tensor | None) -> int:
        return self._examples if rows is None else len(rows)


class _Recomputed(torch.autograd.Function):
    """Features in blocks whose activations are dropped, and evaluated again for the backward pass.

    What `torch.utils.checkpoint` would do, without the compiler that its first use in a process loads.
    """

    @staticmethod
    def forward(ctx: Any, descriptors: Tensor, call: Features, blocks: list[Tensor]) -> Tensor:
        ctx.save_for_backward(descriptors)
        ctx.call, ctx.blocks = call, blocks
        return torch.cat([call(descriptors, block) for block in blocks], dim=1)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        (descriptors,) = ctx.saved_tensors
        leaf, total = descriptors.detach().requires_grad_(), torch.zeros_like(descriptors)
        parts = torch.split(slopes[0], [len(block) for block in ctx.blocks], dim=1)
        with torch.enable_grad():
            for block, part in zip(ctx.blocks, parts, strict=True):
                total += torch.autograd.grad(ctx.call(leaf, block), leaf, part)[0]
        return total, None, None
