"""A quadratic surrogate of the risk, fitted to random descriptors: a cross-check that needs no gradient.

Axes: M descriptors, K entries.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from trainables.modules.choice import distinct, rounded
from trainables.modules.corners import MOST_CORNERS, all_corners
from trainables.modules.evaluated import Evaluated, Judge, joined
from trainables.modules.ridge import RidgeHead, fit, loo_residuals_on_grid

PENALTIES = torch.linspace(math.log(1e-5), math.log(1e2), 15, dtype=torch.float64)


def surrogate(
    judge: Judge, default: Tensor, points: int, proposals: int, resolution: int, generator: Generator
) -> Evaluated:
    """Random descriptors, a quadratic through their risks, and its lowest points evaluated in truth.

    Args:
        default: (K,); always part of the result.
        points: random descriptors, half of them corners.
        proposals: minimisers of the quadratic that are evaluated, at most.
        resolution: proposals are multiples of 1/resolution.
    """
    drawn = torch.rand(points, len(default), generator=generator)
    drawn[::2] = drawn[::2].round()
    known = judge.evaluate(distinct(torch.cat([default.float().unsqueeze(0), drawn])))
    head = fit_quadratic(known.descriptors, known.risk)
    proposed = rounded(_lowest(head, len(default), proposals, generator), resolution)
    return joined([known, judge.evaluate(distinct(proposed))])


def fit_quadratic(descriptors: Tensor, risk: Tensor, log_penalties: Tensor = PENALTIES) -> RidgeHead:
    """Ridge regression on `monomials`, its own penalty by leave-one-out: 40 points may be fewer than terms.

    Args:
        log_penalties: (L,); not those of the task's heads, since a risk is a smooth function without noise.
    """
    terms, values = monomials(descriptors), risk.unsqueeze(-1)
    residuals = loo_residuals_on_grid(terms, values, log_penalties)  # (L, M, 1)
    best = residuals.square().mean((-2, -1)).argmin()
    return fit(terms, values, log_penalties[best])


def monomials(descriptors: Tensor) -> Tensor:
    """Linear, square and mixed terms around the centre of the cube, (M, K) -> (M, K (K + 3) / 2)."""
    centred = 2 * descriptors.double() - 1
    first, second = torch.triu_indices(descriptors.shape[-1], descriptors.shape[-1])
    return torch.cat([centred, centred[:, first] * centred[:, second]], dim=-1)


def _lowest(head: RidgeHead, entries: int, count: int, generator: Generator) -> Tensor:
    """Minimisers over many random points and, where they can be listed, all corners: (count, K)."""
    pool = [torch.rand(MOST_CORNERS, entries, generator=generator)]
    if 2**entries <= MOST_CORNERS:
        pool.append(all_corners(entries))
    candidates = torch.cat(pool)
    predicted = head.predict(monomials(candidates)).squeeze(-1)
    return candidates[predicted.argsort(stable=True)[:count]]
