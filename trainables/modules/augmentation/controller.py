"""Instead of a reward's weight: how much loss the augmentation may cost."""

from __future__ import annotations

import torch
from torch import Tensor

from tracking.errors import UserError

LOWEST, HIGHEST = 1e-4, 10.0  # bounds of the weight
STEP = 1.2                    # factor per look (InstaAug, Miao et al. 2022)
MEMORY = 0.7                  # of the running means
LEARNED = 0.5                 # share of the first loss, below which the network has learned something


class ToleranceController:
    """Raises the weight of a reward while the augmented loss is within a tolerance of the loss without, else lowers it.

    Means over looks are exponential, so that one batch decides nothing. While the network without augmentation has not
    got below half of its first loss the weight falls too: a network that knows nothing loses nothing by any
    augmentation, and would never learn under one that goes to its caps. Everything stays on the device.

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
        self._state = torch.full((3,), float("nan"))  # the first loss without; means of the gap and of the loss without

    def update(self, augmented: Tensor, plain: Tensor) -> None:
        """One look: losses with and without augmentation, 0-d."""
        seen = torch.stack((plain, augmented - plain, plain))
        before = self._state.to(seen)
        mixed = torch.cat((before[:1], MEMORY * before[1:] + (1 - MEMORY) * seen[1:]))
        self._state = torch.where(before.isnan(), seen, mixed)
        first, gap, without = self._state.unbind()
        widen = (gap < self.tolerance) & (without < LEARNED * first)
        self.weight = (self.weight.to(seen) * torch.where(widen, STEP, 1 / STEP)).clamp(LOWEST, HIGHEST)

    def state_dict(self) -> dict[str, Tensor]:
        return {"weight": self.weight.clone(), "means": self._state.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.weight, self._state = state["weight"].clone(), state["means"].clone()
