"""The hypergradient at an inner optimum, by the implicit function theorem (the class of MADAO).

    dL_va / dphi = - v^T H^-1 d^2 L_tr / dtheta dphi,   v = grad L_va(theta),   H = d^2 L_tr / dtheta^2

Lorraine, Vicol, Duvenaud 2020. H is never formed: K products with it are second backward passes through one graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from trainables.modules.hypergradient import (
    Estimate,
    Loss,
    SeriesMeans,
    Step,
    Weights,
    detached,
    inner_product,
    leaves_of,
    mixed_derivative,
)

WORTH_TELLING = 0.1  # share of outer steps whose series was cut short
Product = Callable[[Weights], Weights]  # u -> (H + shift I) u
# |Ht|^2 / <t, Ht> bounds alpha, but has no bound itself where <t, Ht> is nearly zero. |Ht| / |t| is at most the largest
# curvature; so is the first where H is positive definite, and it is the better estimate. No more than twice the second.
BLUNT = 2.0
_TINY, _HUGE = 1e-30, 1e30


class Solver(StrEnum):
    """How H^-1 v is approximated."""

    NEUMANN = "neumann"                        # alpha sum_{j=0..K} (I - alpha H)^j v, cut where terms grow
    CONJUGATE_GRADIENT = "conjugate_gradient"  # K steps from zero, cut where curvature is not positive


@dataclass(frozen=True, slots=True)
class Implicit:
    """Cost in gradient evaluations: B for g, B_v for v, 2 B per product and 2 B for the mixed derivative.

    Two defects of a stored public implementation are what the tests look for: the minus sign was missing, and
    sum and term were one tensor, so that only alpha 2^K (I - alpha H)^K v was left of the series.

    Args:
        solver: of H x = v.
        products: K >= 1, with H.
        alpha: of Neumann's series, which converges where alpha < 2 / lambda_max(H) and H is positive definite.
        damping: added to the weight decay on H's diagonal.
    """

    solver: Solver = Solver.NEUMANN
    products: int = 5
    alpha: float = 0.1
    damping: float = 0.0

    @property
    def passes(self) -> int:
        return 3 + 2 * self.products

    def estimate(
        self, inner: Loss, outer: Loss, theta: Sequence[Tensor], phi: Sequence[Tensor], step: Step
    ) -> Estimate:
        """At theta itself: the step's size does not enter, its weight decay is part of H."""
        leaves = leaves_of(theta)
        loss = inner(leaves)
        gradients = torch.autograd.grad(loss, leaves, create_graph=True)
        at = leaves_of(theta)
        outer_loss = outer(at)
        v = torch.autograd.grad(outer_loss, at)
        shift = step.weight_decay + self.damping

        def product(u: Weights) -> Weights:
            seconds = torch.autograd.grad(gradients, leaves, u, retain_graph=True, materialize_grads=True)
            return tuple(h + shift * part for h, part in zip(seconds, u, strict=True))

        if self.solver is Solver.NEUMANN:
            solution, series = neumann(product, v, self.products, self.alpha)
        else:
            solution, series = conjugate_gradient(product, v, self.products)
        hyper = tuple(-m for m in mixed_derivative(gradients, solution, phi))
        return Estimate(hyper, detached(gradients), loss.detach(), outer_loss.detach(), series)

    def warning(self, series: SeriesMeans) -> str | None:
        """Of each reason for which more than a tenth of the series were cut short."""
        said = []
        if series.diverged > WORTH_TELLING:
            said.append(
                f"the Neumann series diverged in {series.diverged:.0%} of the outer steps and was cut short there "
                f"(alpha = {self.alpha:g}); try alpha = {1 / series.curvature:.2g}"
            )
        if series.bent > WORTH_TELLING:
            said.append(
                f"the inverse Hessian met curvature that is not positive in {series.bent:.0%} of the outer steps and "
                "was cut short there; try more `damping`"
            )
        return "; ".join(said) or None


def neumann(product: Product, v: Weights, products: int, alpha: float) -> tuple[Weights, Tensor]:
    """alpha sum_{j=0..K} (I - alpha H)^j v, and how it ended as `Estimate.series`, (3,).

    The error is (I - alpha H)^(K+1) H^-1 v where terms shrink. The sum ends before the first term t' that is longer
    than the one t before it: at worst v alone is left, which is one step at the same theta. With <t, Ht> > 0 it was
    alpha: t' is longer just where alpha > 2 <t, Ht> / |Ht|^2. Else curvature along t is not positive: no alpha helps.
    """
    term = total = v
    square = inner_product(v, v)
    going = torch.ones_like(square, dtype=torch.bool)
    diverged = bent = curvature = torch.zeros_like(square)
    for _ in range(products):
        bend = product(term)
        after = tuple(t - alpha * h for t, h in zip(term, bend, strict=True))
        length, along = inner_product(after, after), inner_product(term, bend)
        cut = going & ~(length <= square)  # not a number is no shorter
        diverged = diverged + (cut & (along > 0))
        bent = bent + (cut & ~(along > 0))
        stretched = inner_product(bend, bend)
        sharpness = (stretched / along.clamp(min=_TINY)).clamp(max=BLUNT * (stretched / square).sqrt())
        sharpness = sharpness.nan_to_num(nan=_HUGE, posinf=_HUGE).clamp(max=_HUGE)
        curvature = torch.where(cut & (along > 0), sharpness, curvature)
        going = going & ~cut
        square = torch.where(going, length, square)
        term = tuple(torch.where(going, new, old) for new, old in zip(after, term, strict=True))
        total = tuple(t + torch.where(going, part, 0.0) for t, part in zip(total, term, strict=True))
    return tuple(alpha * t for t in total), torch.stack((diverged, bent, curvature))


def conjugate_gradient(product: Product, v: Weights, steps: int) -> tuple[Weights, Tensor]:
    """K steps of H x = v from x = 0, and how they ended as `Estimate.series`, (3,).

    Where curvature along the direction is not positive (H of a network, on a batch, need not be definite) x stays
    as it is from there on; in the first step it becomes v.
    """
    residual = direction = v
    x = tuple(torch.zeros_like(part) for part in v)
    square = inner_product(v, v)
    going = torch.ones_like(square, dtype=torch.bool)
    for number in range(steps):
        bent = product(direction)
        curvature = inner_product(direction, bent)
        solved = square <= _TINY
        going = going & ((curvature > 0) | solved)
        size = torch.where(going & ~solved, square / curvature.clamp(min=_TINY), 0.0)
        fallback = torch.where(going, 0.0, 1.0) if number == 0 else torch.zeros_like(size)
        x = tuple(a + size * d + fallback * b for a, d, b in zip(x, direction, v, strict=True))
        residual = tuple(r - size * h for r, h in zip(residual, bent, strict=True))
        left = inner_product(residual, residual)
        ratio = torch.where(going & ~solved, left / square.clamp(min=_TINY), 0.0)
        direction = tuple(r + ratio * d for r, d in zip(residual, direction, strict=True))
        square = left
    none = torch.zeros_like(square)
    return x, torch.stack((none, (~going).to(square), none))
