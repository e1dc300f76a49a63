"""Learned flips: hard decisions with the probability's gradient straight through."""

from __future__ import annotations

import torch
from torch import Tensor

from spaces.transforms import Operation
from tracking.errors import UserError
from trainables.modules.augmentation.affine import require_image
from trainables.modules.augmentation.layer import AugmentationLayer, LearnedRange
from trainables.modules.augmentation.ranges import Parametrisation, Ranges

_AXES = {Operation.FLIP_HORIZONTAL: -1, Operation.FLIP_VERTICAL: -2}
HALF = 0.5  # the cap of a flip's probability: what is flipped half of the time has no preferred side


class LearnedFlip(AugmentationLayer):
    """y = b flip(x) + (1 - b) x with b ~ Bernoulli(p), p in (0, 1/2) learned; one flip after the other.

    b is 0 or 1 in the forward pass, and db/dp = 1 in the backward pass: dL/dp = <dL/dy, flip(x) - x>, the right
    difference in b for losses that are linear in y. (Relaxed Bernoullis, as published, blend images.)

    Args:
        operations: FLIP_HORIZONTAL, FLIP_VERTICAL or both.
        start: share of 1/2 that each probability starts at.

    Raises:
        UserError: another operation, or one twice.
    """

    def __init__(
        self, operations: tuple[Operation, ...] = (Operation.FLIP_HORIZONTAL,), start: float = 1 / 8,
    ) -> None:
        super().__init__()
        if not operations or len(set(operations)) < len(operations) or not set(operations) <= set(_AXES):
            raise UserError("a learned flip takes each of its operations once", [str(o) for o in operations],
                            f"choose among {', '.join(_AXES)}")
        self.operations = operations
        self.ranges = Ranges([HALF] * len(operations), start, Parametrisation.SIGMOID)

    def noise_size(self) -> int:
        return len(self.operations)

    @property
    def shares(self) -> Tensor:
        return self.ranges.shares

    def learned(self) -> tuple[LearnedRange, ...]:
        rows = zip(self.operations, self.ranges.widths.detach().tolist(), strict=True)
        return tuple(LearnedRange(operation, "", p, p, HALF) for operation, p in rows)

    def check(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        super().check(shape, dtype)
        require_image(shape)

    def augment(self, x: Tensor, noise: Tensor, active: Tensor | None = None) -> Tensor:
        self.check(x.shape[1:], x.dtype)
        probability = self.ranges.widths.expand_as(noise)
        probability = probability if active is None else probability * active
        hard = (noise < probability.detach()).to(probability.dtype)
        decisions = (hard + (probability - probability.detach())).to(x.dtype)
        for operation, decision in zip(self.operations, decisions.unbind(-1), strict=True):
            x = x + decision[:, None, None, None] * (x.flip(_AXES[operation]) - x)
        return x
