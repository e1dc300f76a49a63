"""The derivative of a validation loss with respect to what shaped the training step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

Weights = tuple[Tensor, ...]
Loss = Callable[[Weights], Tensor]
DARTS_STEP = 0.01  # length of the step in theta; published


class Derivative(StrEnum):
    """How the mixed second derivative is taken."""

    EXACT = "exact"            # double backward
    DIFFERENCE = "difference"  # central difference in theta, as in DARTS and DADA: first derivatives only


class Estimate(NamedTuple):
    """What an outer step is made of, all detached.

    Args:
        hyper: dL_va / dphi, one tensor per phi; minimise along minus this.
        gradients: g = grad_theta L_tr(theta, phi), for the ordinary step that follows.
        inner_loss: L_tr(theta, phi), 0-d.
        outer_loss: L_va, 0-d, where its gradient was taken.
        series: how an iterative solver ended, (3,): 1 where it diverged and was cut short; 1 where it met curvature
            that is not positive and was cut short; and the curvature at which it diverged, 0 where it did not.
    """

    hyper: tuple[Tensor, ...]
    gradients: Weights
    inner_loss: Tensor
    outer_loss: Tensor
    series: Tensor | None = None


class SeriesMeans(NamedTuple):
    """`Estimate.series` over all outer steps: shares of them, and the largest curvature."""

    diverged: float
    bent: float
    curvature: float


class Estimator(Protocol):
    """A way to the hypergradient.

    `inner` is theta -> L_tr(theta, phi), 0-d and the same function at every call; phi enters by closure and must
    require gradients. `outer` is theta -> L_va(theta), 0-d, on examples that the inner loss has not seen. Values of
    theta are not changed; an element of phi that L_tr does not depend on gets zeros.
    """

    @property
    def passes(self) -> int:
        """Gradient evaluations (one forward + backward of one image) per image of the inner batch."""
        ...

    def estimate(
        self, inner: Loss, outer: Loss, theta: Sequence[Tensor], phi: Sequence[Tensor], step: Step
    ) -> Estimate: ...

    def warning(self, series: SeriesMeans) -> str | None:
        """What a person should know."""
        ...


class Step(NamedTuple):
    """The ordinary step that follows.

    Args:
        size: eta > 0, its learning rate.
        weight_decay: coupled.
    """

    size: float
    weight_decay: float = 0.0

    def ahead(self, theta: Sequence[Tensor], gradients: Sequence[Tensor]) -> Weights:
        """theta - eta (g + wd theta) without momentum, as leaves; theta itself stays as it is."""
        pairs = zip(theta, gradients, strict=True)
        return leaves_of([w - self.size * (g + self.weight_decay * w) for w, g in pairs])


@dataclass(frozen=True, slots=True)
class OneStep:
    """d/dphi of L_va(theta'(phi)), theta' = theta - eta (g(phi) + wd theta).

    By the chain rule, with v = grad L_va(theta'),

        dL_va / dphi = - eta * (d^2 L_tr / dtheta dphi)^T v = - eta * d/dphi <g(theta, phi), stopgrad(v)>

    because only g depends on phi. The MINUS SIGN is part of it: without it the outer optimiser raises the
    validation loss (a defect of a published implementation).

    Cost in gradient evaluations, for batches B and B_v: B for g, B_v for v, and about 2 B for the double backward or
    for the two gradients of the difference, so 3 B + B_v.

    Args:
        derivative: how d/dphi <g, v> is taken.
    """

    derivative: Derivative = Derivative.EXACT

    @property
    def passes(self) -> int:
        return 3

    def estimate(
        self, inner: Loss, outer: Loss, theta: Sequence[Tensor], phi: Sequence[Tensor], step: Step
    ) -> Estimate:
        exact = self.derivative is Derivative.EXACT
        leaves = leaves_of(theta)
        loss = inner(leaves)
        gradients = torch.autograd.grad(loss, leaves, create_graph=exact)
        ahead = step.ahead(leaves, gradients)
        outer_loss = outer(ahead)
        v = torch.autograd.grad(outer_loss, ahead)
        mixed = mixed_derivative(gradients, v, phi) if exact else central_difference(inner, leaves, v, phi)
        return Estimate(
            tuple(-step.size * m for m in mixed), detached(gradients), loss.detach(), outer_loss.detach()
        )

    def warning(self, series: SeriesMeans) -> str | None:
        """There is no series."""
        return None


def mixed_derivative(gradients: Weights, v: Weights, phi: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """d/dphi <g(theta, phi), v>, by a second backward pass through the graph of g."""
    alignment = inner_product(gradients, v)
    mixed = torch.autograd.grad(alignment, phi, allow_unused=True)
    return tuple(torch.zeros_like(p) if m is None else m for p, m in zip(phi, mixed, strict=True))


def central_difference(inner: Loss, theta: Weights, v: Weights, phi: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Approximately the same, [grad_phi L_tr(theta + e v) - grad_phi L_tr(theta - e v)] / 2e, e = 0.01 / |v| (DARTS).

    Exact in the limit for smooth networks. Units with a kink (ReLU) switch within the step: the derivative by ranges is
    then much noisier than by double backward. Zeros where v is zero.
    """
    length = inner_product(v, v).sqrt()
    epsilon = torch.where(length > 0, DARTS_STEP / length, 1.0)
    sides = []
    for sign in (1, -1):
        moved = tuple(weight.detach() + sign * epsilon * part for weight, part in zip(theta, v, strict=True))
        loss = inner(moved)  # of a batch that nothing with a range was drawn for it may not depend on phi at all
        none = (None,) * len(phi)
        sides.append(torch.autograd.grad(loss, phi, allow_unused=True) if loss.requires_grad else none)
    return tuple(
        torch.zeros_like(p) if up is None or down is None else (up - down) / (2 * epsilon)
        for p, up, down in zip(phi, *sides, strict=True)
    )


def leaves_of(tensors: Sequence[Tensor]) -> Weights:
    """The same values, requiring gradients and without a history."""
    return tuple(tensor.detach().requires_grad_() for tensor in tensors)


def detached(tensors: Sequence[Tensor]) -> Weights:
    return tuple(tensor.detach() for tensor in tensors)


def inner_product(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """<a, b>, 0-d."""
    return torch.stack([(one * other).sum() for one, other in zip(a, b, strict=True)]).sum()
