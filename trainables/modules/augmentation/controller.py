"""When ranges begin to move, and instead of a reward's weight: how much loss the augmentation may cost."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tracking.errors import UserError

LOWEST, HIGHEST = 1e-4, 10.0  # bounds of the weight
STEP = 1.2                    # factor per look (InstaAug, Miao et al. 2022)
MEMORY = 0.7                  # of the running means
LEARNED = 0.5                 # share of the first loss, below which the network has learned something


class Patience:
    """0 until a loss has once fallen below half of its first value, in the running mean, and 1 from then on.

    A network that knows nothing loses nothing by any augmentation: from the start a reward drives ranges to their caps
    before anything is learned, and then nothing ever is. Nor is the loss a guide yet: it alone can take a range there
    (flips, on MNIST). Everything stays on the device.
    """

    def __init__(self) -> None:
        self._state = torch.tensor([math.inf, math.inf, 0.0])  # first, mean, whether it is over; infinite: none yet

    @property
    def over(self) -> Tensor:
        """0 or 1, 0-d."""
        return self._state[2]

    def update(self, loss: Tensor) -> None:
        """The loss of an update, 0-d."""
        first, mean, over = self._state.to(loss).unbind()
        first = torch.where(first.isinf(), loss, first)
        mean = torch.where(mean.isinf(), loss, MEMORY * mean + (1 - MEMORY) * loss)
        self._state = torch.stack((first, mean, torch.maximum(over, (mean < LEARNED * first).to(over))))

    def state_dict(self) -> dict[str, Tensor]:
        return {"losses": self._state.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self._state = state["losses"].clone()


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

    def update(self, augmented: Tensor, plain: Tensor, begun: Tensor | None = None) -> None:
        """One look: losses with and without augmentation, 0-d.

        Args:
            begun: 0-d; while it is 0 losses are remembered and the weight stays, since nothing is paid yet.
        """
        seen = torch.stack((plain, augmented - plain, plain))
        before = self._state.to(seen)
        mixed = torch.cat((before[:1], MEMORY * before[1:] + (1 - MEMORY) * seen[1:]))
        self._state = torch.where(before.isnan(), seen, mixed)
        first, gap, without = self._state.unbind()
        widen = (gap < self.tolerance) & (without < LEARNED * first)
        before_look = self.weight.to(seen)
        after = (before_look * torch.where(widen, STEP, 1 / STEP)).clamp(LOWEST, HIGHEST)
        self.weight = after if begun is None else torch.where(begun > 0, after, before_look)

    def state_dict(self) -> dict[str, Tensor]:
        return {"weight": self.weight.clone(), "means": self._state.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.weight, self._state = state["weight"].clone(), state["means"].clone()
