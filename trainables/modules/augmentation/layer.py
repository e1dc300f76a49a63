"""What every learned augmentation layer is: noise is drawn first, then a pure function of input, noise and ranges.

Axes: B inputs (B, *shape), Q operations, E noise numbers per input.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from tracking.errors import UserError


@dataclass(frozen=True, slots=True)
class LearnedRange:
    """What was learned about one operation.

    Args:
        name: of the operation.
        unit: of the bounds; empty for a probability.
        low, high: strengths are uniform between them; both the probability where there is no strength.
        cap: the largest |bound| that could be learned.
        weight: with which the operation is chosen; 1 where all act together.
    """

    name: str
    unit: str
    low: float
    high: float
    cap: float
    weight: float = 1.0

    @property
    def at_cap(self) -> bool:
        """Whether it would probably be wider if it could: beyond 95 % of the cap."""
        return max(abs(self.low), abs(self.high)) > 0.95 * self.cap


class AugmentationLayer(nn.Module):
    """Base of all layers: `sample` draws, `augment` applies; `forward` is `augment`.

    `augment` reads no random number, synchronises nothing and changes nothing in place, so it may be compiled as one
    graph, mapped over candidate ranges with `torch.func`, and called twice with the same noise.
    """

    def noise_size(self) -> int:
        """E: numbers that one input takes."""
        raise NotImplementedError

    @property
    def shares(self) -> Tensor:
        """(Q,) ranges in units of their caps: what a reward makes large."""
        raise NotImplementedError

    @property
    def gates(self) -> Tensor:
        """(Q,) weights of the operations; ones where all act together."""
        return torch.ones_like(self.shares)

    def learned(self) -> tuple[LearnedRange, ...]:
        """The Q operations with what was learned; reads the parameters, so not for a hot loop."""
        raise NotImplementedError

    def check(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        """Raises UserError where inputs (*shape) cannot be augmented; called by `augment`."""
        if not dtype.is_floating_point:
            raise UserError("a learned augmentation needs floating-point inputs", dtype,
                            "divide 8-bit images by 255 first")

    def augment(self, x: Tensor, noise: Tensor, active: Tensor | None = None) -> Tensor:
        """(B, *shape), (B, E) -> (B, *shape).

        Args:
            noise: from `sample`, or any numbers in [0, 1).
            active: (B, Q) factors in [0, 1] on the strengths; None means one everywhere.

        Raises:
            UserError: inputs that the layer is not made for.
        """
        raise NotImplementedError

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        return self.augment(x, noise)

    def sample(self, size: int, generator: Generator) -> Tensor:
        """Noise (B, E), uniform in [0, 1), on the parameters' device: all randomness of one `augment`."""
        noise = torch.rand(size, self.noise_size(), generator=generator, device=generator.device)
        return noise.to(self.shares.device)

    def draw(self, x: Tensor, generator: Generator) -> Tensor:
        """`augment` in evaluation mode, with fresh noise and without gradients: the distribution as it is used."""
        training = self.training
        self.eval()
        with torch.no_grad():
            drawn = self.augment(x, self.sample(len(x), generator))
        self.train(training)
        return drawn
