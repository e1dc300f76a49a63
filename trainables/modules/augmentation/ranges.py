"""Learned ranges: a share of a cap that gradients can move everywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum

import torch
from torch import Tensor, nn

from tracking.errors import UserError

LARGE = 30.0  # share from which on a softplus is its argument in double precision
# The share next to 1 in float32, whose product with any cap is below the cap: what a sigmoid found can be set again.
NEAREST = 1 - 2.0**-24


class Parametrisation(StrEnum):
    """From a free parameter phi to a share of the cap; neither has a dead zone within float32, as a clamp has.

    Where 1 - s is lost to rounding (a logit of 17) the sigmoid's gradient is: that far, ranges have long been at caps.
    """

    SIGMOID = "sigmoid"    # in (0, 1): never beyond the cap
    SOFTPLUS = "softplus"  # in (0, inf): only the reward ends at the cap


class Ranges(nn.Module):
    """Q ranges r_k = cap_k s(phi_k), s a sigmoid or a softplus.

    Args:
        caps: (Q,) largest ranges, in the operations' units, > 0.
        start: share of each cap at the start, in (0, 1); at 0 the layer would be the identity.
        parametrisation: s.

    Raises:
        UserError: a start or a cap outside its range.
    """

    def __init__(
        self, caps: Sequence[float], start: float | Sequence[float] = 1 / 8,
        parametrisation: Parametrisation = Parametrisation.SIGMOID,
    ) -> None:
        super().__init__()
        shares = [start] * len(caps) if isinstance(start, int | float) else list(start)
        if len(shares) != len(caps) or not all(0 < share < 1 for share in shares):
            raise UserError("a range starts between 0 and its cap, both excluded", start,
                            "give it as a share of the cap, one number or one for each operation")
        if not all(0 < cap < math.inf for cap in caps):
            raise UserError("the cap of a range must be positive and finite", list(caps))
        self.parametrisation = parametrisation
        self.logits = nn.Parameter(torch.tensor([self._inverse(share) for share in shares]))
        self.register_buffer("caps", torch.tensor(list(caps), dtype=torch.float32))

    caps: Tensor

    @property
    def shares(self) -> Tensor:
        """(Q,) of the caps."""
        sigmoid = self.parametrisation is Parametrisation.SIGMOID
        return self.logits.sigmoid().clamp(max=NEAREST) if sigmoid else nn.functional.softplus(self.logits)

    @property
    def widths(self) -> Tensor:
        """r (Q,), in the operations' units."""
        return self.shares * self.caps

    def set_widths(self, widths: Sequence[float]) -> None:
        """Put the ranges where they are wanted; UserError outside (0, cap), or (0, inf) with SOFTPLUS."""
        shares = [width / cap for width, cap in zip(widths, self.caps.tolist(), strict=True)]
        if not all(0 < share < _highest(self.parametrisation) for share in shares):
            raise UserError("a range must lie between 0 and its cap, both excluded", list(widths),
                            f"the caps are {[round(cap, 4) for cap in self.caps.tolist()]}")
        with torch.no_grad():
            self.logits.copy_(torch.tensor([self._inverse(share) for share in shares]))

    def _inverse(self, share: float) -> float:
        if self.parametrisation is Parametrisation.SIGMOID:
            return math.log(share / (1 - share))
        return math.log(math.expm1(share)) if share < LARGE else share + math.log(-math.expm1(-share))


def _highest(parametrisation: Parametrisation) -> float:
    """Share that is never reached."""
    return 1.0 if parametrisation is Parametrisation.SIGMOID else math.inf
