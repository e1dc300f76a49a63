"""Adam for a network of a generator, with a state of one layout from the start, and its schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

BETAS = (0.5, 0.999)  # Radford et al. 2016: less momentum, since the other side moves too
RISE = 50             # updates in which the learning rate rises
END = 0.05            # share of the learning rate that the cosine ends with


def prepared_adam(parameters: Iterable[nn.Parameter], weight_decay: float = 0.0) -> torch.optim.Adam:
    """Adam (Kingma and Ba, 2015) with the moments that its first step would make; `descend` sets the rate."""
    optimiser = torch.optim.Adam(list(parameters), betas=BETAS, weight_decay=weight_decay, foreach=True)
    for parameter in optimiser.param_groups[0]["params"]:
        optimiser.state[parameter] = {
            "step": torch.tensor(0.0), "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
    return optimiser


def descend(optimiser: torch.optim.Adam, gradients: Sequence[Tensor], rate: float) -> None:
    """One step with these gradients, in the order of the parameters."""
    group = optimiser.param_groups[0]
    for parameter, gradient in zip(group["params"], gradients, strict=True):
        parameter.grad = gradient
    group["lr"] = rate
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)


def cosine(cursor: int, horizon: int) -> float:
    """Share of the peak rate at update `cursor`: a short linear rise, then a cosine down to END."""
    fall = END + (1 - END) * 0.5 * (1 + math.cos(math.pi * cursor / horizon))
    return min(1.0, (cursor + 1) / RISE) * fall
