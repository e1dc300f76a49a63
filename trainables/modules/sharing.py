"""Layers whose weights are shared by a learned pattern: vec(W) = U v (MSR, Zhou, Knowles and Finn 2021).

U, the pattern, is what tasks have in common; v, the filter, is a task's own. Axes: m outputs, n inputs of a layer, k
entries of v; vec is row-major. U is known up to an invertible R only (U R and R^-1 v give the same W): compare column
spaces, never columns. One step of size a along v's gradient moves vec(W) by -a U U^T times the gradient in W, so every
pattern is a preconditioner; `Gain` and `Diagonal` are those without any sharing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import conv2d, linear

from tracking.errors import UserError

DEVIATION = 0.01  # of U's entries at the start, as published


class Sharing(nn.Module):
    """v -> W. Its own parameters are the pattern; `start` is v's shape.

    Args:
        shape: of W: (m, n), or (c_out, c_in, h, w).
    """

    start: tuple[int, ...]

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = self.start = tuple(shape)

    def first(self, generator: Generator) -> Tensor:
        """v at the start: what torch gives a plain layer, uniform within 1 / sqrt(inputs)."""
        bound = 1 / math.sqrt(math.prod(self.shape[1:]))
        return (2 * torch.rand(self.start, generator=generator) - 1) * bound

    def forward(self, v: Tensor) -> Tensor:
        """W for v; the identity, which is no sharing at all."""
        return v

    def matrix(self) -> Tensor:
        """U (prod(shape), k), whose columns are the W of unit vectors v."""
        units = torch.eye(math.prod(self.start), dtype=self._dtype(), device=self._device())
        return torch.stack([self(unit.view(self.start)).flatten() for unit in units], dim=1)

    def _dtype(self) -> torch.dtype:
        return next((p.dtype for p in self.parameters()), torch.float32)

    def _device(self) -> torch.device:
        return next((p.device for p in self.parameters()), torch.device("cpu"))


class FullSharing(Sharing):
    """Any U: U ~ N(0, deviation^2), v ~ N(0, 1 / m^2), so a layer begins near zero.

    Args:
        latent: k, 1 to prod(shape).

    Raises:
        UserError: k is out of range.
    """

    def __init__(
        self, shape: Sequence[int], latent: int, generator: Generator, deviation: float = DEVIATION
    ) -> None:
        super().__init__(shape)
        size = math.prod(self.shape)
        if not 1 <= latent <= size:
            raise UserError(f"`latent` must lie in 1 to {size}, the layer's number of weights", latent)
        self.start = (latent,)
        self.pattern = nn.Parameter(deviation * torch.randn(size, latent, generator=generator))

    def first(self, generator: Generator) -> Tensor:
        return torch.randn(self.start, generator=generator) / self.shape[0]

    def forward(self, v: Tensor) -> Tensor:
        return (self.pattern @ v).view(self.shape)

    def matrix(self) -> Tensor:
        return self.pattern


class KroneckerSharing(Sharing):
    """U = A x B (x C): one square factor for each of W's axes, a kernel's two axes taken as one; identity at the start.

    vec(A W0 B^T) = (A (x) B) vec(W0) for a dense layer. It scales and turns gradients, but cannot project on a group's
    filters: factors of full rank span everything.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__(shape)
        axes = (*self.shape[:2], math.prod(self.shape[2:]))[: min(3, len(self.shape))]
        self.factors = nn.ParameterList(torch.eye(size) for size in axes)

    def forward(self, v: Tensor) -> Tensor:
        w = v.reshape(tuple(len(factor) for factor in self.factors))
        for axis, factor in enumerate(self.factors):
            w = torch.movedim(torch.tensordot(factor, w, dims=([1], [axis])), 0, axis)
        return w.reshape(self.shape)


class Gain(Sharing):
    """W = g v, one number g for the layer: a learned step size and nothing else. The control for the gain in U."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__(shape)
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, v: Tensor) -> Tensor:
        return self.gain * v


class Diagonal(Sharing):
    """W = d * v elementwise: a step size for each weight (as Meta-SGD). The control for capacity without sharing."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__(shape)
        self.diagonal = nn.Parameter(torch.ones(self.shape))

    def forward(self, v: Tensor) -> Tensor:
        return self.diagonal * v


class SharedLayer(nn.Module):
    """A layer with W = sharing(v) and a plain bias; `filter` is v.

    Args:
        generator: draws v and the bias.
    """

    def __init__(self, sharing: Sharing, bias: bool, generator: Generator) -> None:
        super().__init__()
        self.sharing = sharing
        self.filter = nn.Parameter(sharing.first(generator))
        bound = 1 / math.sqrt(math.prod(sharing.shape[1:]))
        start = (2 * torch.rand(sharing.shape[0], generator=generator) - 1) * bound
        self.bias = nn.Parameter(start) if bias else None

    @property
    def weight(self) -> Tensor:
        """W for the filter as it is."""
        return self.sharing(self.filter)  # type: ignore[no-any-return]


class SharedLinear(SharedLayer):
    """y = W x + b on (..., n) -> (..., m)."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class SharedConv2d(SharedLayer):
    """Cross-correlation with kernels W (c_out, c_in, h, w), stride 1, on (B, c_in, H, W).

    Args:
        padding: zeros around the image.
    """

    def __init__(self, sharing: Sharing, bias: bool, generator: Generator, padding: int = 0) -> None:
        super().__init__(sharing, bias, generator)
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.weight, self.bias, padding=self.padding)


class LocallyConnected1d(nn.Module):
    """A filter of its own at each position, valid cross-correlation: (B, n) -> (B, n - taps + 1)."""

    def __init__(self, inputs: int, taps: int, generator: Generator) -> None:
        super().__init__()
        bound = 1 / math.sqrt(taps)  # as torch's layers
        self.weight = nn.Parameter((2 * torch.rand(inputs - taps + 1, taps, generator=generator) - 1) * bound)

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("...pt,pt->...p", x.unfold(-1, self.weight.shape[1], 1), self.weight)


class Conv1d(nn.Module):
    """One filter for all positions, valid cross-correlation of one channel: (B, n) -> (B, n - taps + 1)."""

    def __init__(self, taps: int, generator: Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter((2 * torch.rand(taps, generator=generator) - 1) / math.sqrt(taps))

    def forward(self, x: Tensor) -> Tensor:
        return x.unfold(-1, self.weight.shape[0], 1) @ self.weight


def split_parameters(network: nn.Module) -> tuple[dict[str, nn.Parameter], dict[str, nn.Parameter]]:
    """(fast, slow): what a task adapts, and the patterns, which tasks share."""
    slow = {
        f"{path}.{name}" if path else name
        for path, module in network.named_modules() if isinstance(module, Sharing)
        for name, _ in module.named_parameters()
    }
    everything = dict(network.named_parameters())
    return ({name: p for name, p in everything.items() if name not in slow},
            {name: p for name, p in everything.items() if name in slow})
