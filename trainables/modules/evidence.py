"""Do the labels say that something is better than the default? A test with a stated rate of false alarms.

    T = max_m mean(D_m) / SE(D_m),   D_mj = (1 - delta) loss_default,j - loss_mj

over alternatives that were fixed in advance. It is compared with the same maximum over draws in which every D_m has
its mean taken away and every example a Gaussian weight (multiplier bootstrap, Chernozhukov, Chetverikov & Kato 2013;
the question is White's reality check, 2000). So the bar rises with the number of alternatives, and less where they go
together. What a search found on the same labels is no alternative: with few labels its luck is larger than that of
many fixed ones, and counting it left defaults that were better (docs/log.md).

The margin delta is what makes the rate hold. Heads on labels that mean nothing predict nearly nothing under every
descriptor, and their losses differ by less than a per cent, but by as much in every example: paired, that is many
standard errors (docs/log.md).

With very few labels the rate does not hold either, margin or not: leave-one-out losses of a handful of examples share
most of what they were fitted to. Measured with the menu on balanced labels that mean nothing, synthetic features, 200
tasks each, at a stated .10: two classes .34 of 8 labels, .27 of 12, .20 of 20, .14 of 24, .08 of 30, .02 of 60; three
.17 of 12 and .09 of 20; five .12 of 12 and .05 of 16; ten .00 to .02 from 12 on; real targets .27 of 8, up to .14 of 24
(two values), .05 of 30. So the rate is stated from `enough` on, and who asks keeps the default below it.

Axes: M alternatives, n examples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

DRAWS = 2000
FEWEST, PER_CLASS = 10, 40  # labels that c classes need: 10 + 40 / c, see above


@dataclass(frozen=True, slots=True)
class Evidence:
    """How clearly the best alternative beats the default.

    Args:
        statistic: T, in paired standard errors; 0 where there is no alternative.
        p_value: how often labels that favour no alternative give as much, in (0, 1].
        enough: whether there were labels enough to say.
    """

    statistic: float
    p_value: float
    enough: bool = True


def enough(classes: int | None) -> int:
    """How many labels of so many classes the stated rate needs: 30 of two, 18 of five; of real targets (None) 30."""
    return FEWEST + -(-PER_CLASS // (2 if classes is None else max(2, classes)))


def against_default(fixed: Tensor, default: Tensor, generator: Generator, margin: float = 0.0) -> Evidence:
    """The test of "no alternative lowers the risk by more than the margin"; its rate holds from `enough` labels on.

    Args:
        fixed: (M, n) losses of alternatives fixed in advance, n >= 2.
        default: (n,) losses of the default.
        margin: delta, as a share of the default's risk.
    """
    gain = (1 - margin) * default - fixed
    centred = gain - gain.mean(-1, keepdim=True)
    error = centred.square().mean(-1).sqrt() / (gain.shape[-1] - 1) ** 0.5
    differs = error > 0
    if not bool(differs.any()):
        return Evidence(0.0, 1.0)
    error = error[differs]
    statistic = (gain[differs].mean(-1) / error).amax()
    weights = torch.randn(DRAWS, gain.shape[-1], generator=generator, dtype=gain.dtype)
    drawn = (weights @ (centred[differs] / error[:, None]).mT / gain.shape[-1]).amax(-1)
    return Evidence(float(statistic), (1 + int((drawn >= statistic).sum())) / (1 + DRAWS))
