"""Real targets in standard units: what methods learn, and the way back to the user's own.

Axes: N examples, K outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class TargetUnits:
    """Mean and standard deviation of every output over the learnable targets.

    One learning rate, one penalty and one bound then serve lengths in pixels and angles in turns alike.

    Args:
        mean: (K,).
        scale: (K,) > 0; 1 for an output that does not vary.
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def of(cls, y: NDArray[np.floating]) -> TargetUnits:
        """(N, K), N >= 1."""
        exact = y.astype(np.float64)
        scale = np.where(varies(y), exact.std(0), 1.0)
        return cls(tuple(exact.mean(0).tolist()), tuple(scale.tolist()))

    def standard(self, y: NDArray[np.floating]) -> NDArray[np.float32]:
        """(N, K) in the user's units -> in standard ones."""
        exact: NDArray[np.float64] = (y.astype(np.float64) - np.array(self.mean)) / np.array(self.scale)
        return exact.astype(np.float32)

    def own(self, outputs: Tensor) -> Tensor:
        """(N, K) in standard units -> in the user's."""
        return outputs * outputs.new_tensor(self.scale) + outputs.new_tensor(self.mean)


def varies(y: NDArray[np.floating]) -> NDArray[np.bool_]:
    """(N, K) -> (K,): which outputs are not one number again and again, up to the rounding of float32.

    The standard deviation is no test: the mean of equal numbers is rounded, and leaves a little of it.
    """
    low, high = y.min(0).astype(np.float64), y.max(0).astype(np.float64)
    return np.asarray(high - low > np.finfo(np.float32).eps * np.maximum(abs(low), abs(high)))


@runtime_checkable
class Standardised(Protocol):
    """Optional for a view or a problem: the units that its targets were standardised by, None where they were not."""

    @property
    def units(self) -> TargetUnits | None: ...


def units_of(problem: object) -> TargetUnits | None:
    """None for classes, and for problems that give targets as they are."""
    return problem.units if isinstance(problem, Standardised) else None


class InUserUnits(nn.Module):
    """A network whose outputs are in standard units, as one whose outputs are in the user's: (B, ...) -> (B, K)."""

    mean: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, units: TargetUnits) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(units.mean))
        self.register_buffer("scale", torch.tensor(units.scale))

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x) * self.scale + self.mean  # type: ignore[no-any-return]
