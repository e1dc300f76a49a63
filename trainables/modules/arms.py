"""An augmentation policy as a categorical over arms: an operation with a range, or nothing.

Axes: A arms, arm 0 is the identity; B images.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from spaces.policies import Policy, PolicyEntry
from spaces.tables import TableEntry, transformed
from spaces.transforms import TRANSFORMS, Operation, Strength
from trainables.modules.policy_space import choices, require_finite, search_limit

RANGES = (0.125, 0.25, 0.5, 1.0)  # r of the arms, as shares of the limit


class ArmDraw(NamedTuple):
    """The randomness of one augmentation of B images, all (B,) and on the CPU.

    Args:
        arm: int64 in 0..A-1.
        u: uniform in (0, 1).
        sign: -1 or 1.
    """

    arm: Tensor
    u: Tensor
    sign: Tensor


class Arms(nn.Module):
    """pi = softmax(w) over the identity and every operation with every range; |strength| ~ U(0, r).

    An arm is a range and not one strength: single strengths make the search concentrate on one weak one. Nothing is
    differentiated through the images, so any operation may be among them.

    Args:
        operations: those without a strength (flips, equalise) make one arm.
    """

    def __init__(self, operations: Sequence[Operation]) -> None:
        super().__init__()
        arms = [
            (operation, reach) for operation, reach in product(operations, RANGES)
            if TRANSFORMS[operation].strength is not Strength.BLEND or reach == 1.0
        ]
        self.table = (TableEntry(None), *(TableEntry(o, search_limit(o), reach) for o, reach in arms))
        self.logits = nn.Parameter(torch.zeros(len(self.table)))

    def draw(self, size: int, generator: Generator) -> ArmDraw:
        """Arms from pi."""
        arm = choices(self.logits, size, generator).cpu()
        u, coin = torch.rand(2, size, generator=generator, device=generator.device).cpu()
        return ArmDraw(arm, u, torch.where(coin < 0.5, -1.0, 1.0))

    def augment(self, x: Tensor, draw: ArmDraw, generator: Generator) -> Tensor:
        """Each image by its arm; the generator only places cutout."""
        return transformed(self.table, draw.arm, draw.u, draw.sign, x, generator)

    def policy(self, logits: Tensor) -> Policy:
        """What logits (A,) stand for.

        Raises:
            NotFiniteError: the search has diverged.
        """
        require_finite(logits)
        weights = logits.detach().double().softmax(0).tolist()
        return Policy(entries=tuple(
            PolicyEntry(operation=line.operation, weight=weight, magnitude=line.magnitude, limit=line.limit)
            for line, weight in zip(self.table, weights, strict=True) if line.operation is not None
        ))
