"""Learned flips: hard decisions with the probability's gradient straight through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor

from spaces.transforms import Operation
from trainables.modules.augmentation.ranged import ImageLayer
from trainables.modules.augmentation.ranges import Parametrisation

_AXES = {Operation.FLIP_HORIZONTAL: -1, Operation.FLIP_VERTICAL: -2}
HALF = 0.5  # the cap of a flip's probability: what is flipped half of the time has no preferred side


class LearnedFlip(ImageLayer[Operation]):
    """y = b flip(x) + (1 - b) x with b ~ Bernoulli(p), p in (0, 1/2) learned; one flip after the other.

    b is 0 or 1 in the forward pass, and db/dp = 1 in the backward pass: dL/dp = <dL/dy, flip(x) - x>, the right
    difference in b for losses that are linear in y. (Relaxed Bernoullis, as published, blend images.)

    Args:
        operations: FLIP_HORIZONTAL, FLIP_VERTICAL or both.
        caps: highest probabilities where they differ from 1/2.
        start: see `Ranges`.

    Raises:
        UserError: another operation, or one twice; a cap that is no probability.
    """

    MEANINGFUL: ClassVar[Mapping[str, float]] = dict.fromkeys(_AXES, 1.0)

    def __init__(
        self, operations: Sequence[Operation] = (Operation.FLIP_HORIZONTAL,),
        caps: Mapping[Operation, float] | None = None, start: float | Sequence[float] = 1 / 8,
    ) -> None:
        known, units = dict.fromkeys(_AXES, HALF), dict.fromkeys(_AXES, "")
        super().__init__(operations, known, units, caps, start, Parametrisation.SIGMOID)

    def bounds(self, operation: Operation, width: float) -> tuple[float, float]:
        """A probability has no sign."""
        return width, width

    def augment(self, x: Tensor, noise: Tensor, active: Tensor | None = None) -> Tensor:
        self.require(x, noise)
        probability = self.ranges.widths.expand_as(noise)
        probability = probability if active is None else probability * active
        hard = (noise < probability.detach()).to(probability.dtype)
        decisions = (hard + (probability - probability.detach())).to(x.dtype)
        for operation, decision in zip(self.operations, decisions.unbind(-1), strict=True):
            x = x + decision[:, None, None, None] * (x.flip(_AXES[operation]) - x)
        return x
