"""Projected gradient descent on the leave-one-out risk, from several starts together.

Axes: S starts, K entries, n examples, T steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.modules.evaluated import Evaluated, Judge, joined
from trainables.modules.ridge import loo_residuals

INSIDE = 0.1


@dataclass(frozen=True, slots=True)
class Descent:
    """What the gradient did.

    Args:
        starts: (S, K) as given.
        ends: (S, K) in [0, 1], before any rounding.
        log_penalty: (S,) at the ends.
        risks: (T, S) before each step.
    """

    starts: Tensor
    ends: Tensor
    log_penalty: Tensor
    risks: Tensor


def descend(judge: Judge, starts: Tensor, log_penalty: Tensor, steps: int, learning_rate: float) -> Descent:
    """Adam on (descriptor, log penalty) with the whole batch, projected onto the cube after each step.

    The sum of the starts' risks is descended; each depends on its own start only and Adam scales each coordinate
    by itself, so the starts do not see each other. The rate falls as half a cosine, so that an end is a point
    of rest and not of a last jump. A start can travel about steps * learning_rate / 2 along an entry, which should
    be at least once through the cube.

    Starts are drawn inside by INSIDE: at a face an entry may have no slope even where it matters, since what
    is left of a transform, say 1 - i_k, enters the kernel as its square.

    Args:
        starts: (S, K) in [0, 1].
        log_penalty: (S,) to start from; kept within the judge's grid.
        steps: T.
        learning_rate: of the entries at the first step, in units of the cube; the penalty's is 5 times that.
    """
    at, ridge = starts.clamp(INSIDE, 1 - INSIDE), log_penalty.to(starts)
    low, high = float(judge.log_penalties.min()), float(judge.log_penalties.max())
    moments = [_Moments(at), _Moments(ridge)]
    risks = []
    for step in range(steps):
        rate = learning_rate * (1 + math.cos(math.pi * step / steps)) / 2
        risk, *slopes = _slopes(judge, at, ridge)
        risks.append(risk)
        at = (at - rate * moments[0].direction(slopes[0])).clamp(0, 1)
        ridge = (ridge - 5 * rate * moments[1].direction(slopes[1])).clamp(low, high)
    return Descent(starts, at, ridge, torch.stack(risks))


class _Moments:
    """Adam's direction (Kingma & Ba 2015), with a short memory for few steps.

    Written out because the first use of torch.optim in a process loads its compiler, which takes longer than a
    whole search.
    """

    def __init__(self, like: Tensor, betas: tuple[float, float] = (0.8, 0.99), eps: float = 1e-8) -> None:
        self._first, self._second = torch.zeros_like(like), torch.zeros_like(like)
        self._betas, self._eps, self._steps = betas, eps, 0

    def direction(self, slope: Tensor) -> Tensor:
        b1, b2 = self._betas
        self._steps += 1
        self._first = b1 * self._first + (1 - b1) * slope
        self._second = b2 * self._second + (1 - b2) * slope.square()
        root = (self._second / (1 - b2**self._steps)).sqrt()
        return self._first / (1 - b1**self._steps) / (root + self._eps)


def _slopes(judge: Judge, at: Tensor, ridge: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Risks (S,) and the gradients of their sum, piece by piece so that memory stays bounded."""
    at, ridge = at.detach().requires_grad_(), ridge.detach().requires_grad_()
    risks, slope_at, slope_ridge = [], torch.zeros_like(at), torch.zeros_like(ridge)
    for piece in judge.features.pieces(len(at), None):
        features = judge.features.tracked(at[piece])
        targets, at_penalty = judge.targets, ridge[piece].to(features.device)
        residuals = loo_residuals(features, targets.values.to(features.device), at_penalty, targets.weights)
        risk = targets.weighted(residuals.square().sum(-1)).mean(-1)
        slopes = torch.autograd.grad(risk.sum(), (at, ridge))  # an extractor's weights get none
        slope_at, slope_ridge = slope_at + slopes[0], slope_ridge + slopes[1]
        risks.append(risk.detach().cpu())
    return torch.cat(risks), slope_at, slope_ridge


def way_to_default(judge: Judge, descriptor: Tensor, default: Tensor) -> Evaluated:
    """Entries of a descriptor set back to the default, first each alone, then one after the other.

    An end of the gradient differs from the default in every entry, also in those that the labels say nothing
    about. This offers the one-standard-error rule what lies between: 2 K - 1 evaluations at most.

    Args:
        descriptor: (K,), not the default.
        default: (K,).
    """
    differs = (descriptor != default).nonzero().flatten()
    alone = descriptor.repeat(len(differs), 1)
    alone[torch.arange(len(differs)), differs] = default[differs]
    single = judge.evaluate(alone)
    order = differs[single.risk.argsort(stable=True)]
    steps, here = [], descriptor.clone()
    for entry in order[:-1].tolist():  # the last step is the default itself
        here[entry] = default[entry]
        steps.append(here.clone())
    return joined([single, judge.evaluate(torch.stack(steps[1:]))]) if len(steps) > 1 else single
