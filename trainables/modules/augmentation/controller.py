"""Instead of a reward's weight: how much loss the augmentation may cost."""

from __future__ import annotations

import torch
from torch import Tensor

from tracking.errors import UserError

LOWEST, HIGHEST = 1e-4, 10.0  # bounds of the weight
STEP = 1.2                    # factor per look (InstaAug, Miao et al. 2022)
MEMORY = 0.7                  # of the running mean of the gap


class ToleranceController:
    """Raises the weight of a reward while the augmented loss is within a tolerance of the loss without, else lowers it.

    The gap is an exponential mean over looks, so that one batch decides nothing. Everything stays on the device.

    Args:
        tolerance: in nats (or the loss's own unit), > 0.
        weight: to begin with.

    Raises:
        UserError: a tolerance that is not positive.
    """

    def __init__(self, tolerance: float, weight: float = 0.1) -> None:
        if not tolerance > 0:
            raise UserError("a tolerated loss must be positive", tolerance)
        self.tolerance = tolerance
        self.weight = torch.tensor(weight)
        self.gap = torch.tensor(0.0)

    def update(self, gap: Tensor) -> None:
        """One look.

        Args:
            gap: loss with augmentation minus loss without, 0-d.
        """
        self.gap = MEMORY * self.gap.to(gap) + (1 - MEMORY) * gap
        factor = torch.where(self.gap < self.tolerance, STEP, 1 / STEP)
        self.weight = (self.weight.to(gap) * factor).clamp(LOWEST, HIGHEST)

    def state_dict(self) -> dict[str, Tensor]:
        return {"weight": self.weight.clone(), "gap": self.gap.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.weight, self.gap = state["weight"].clone(), state["gap"].clone()
