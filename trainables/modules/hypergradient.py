"""The derivative of a validation loss with respect to what shaped the training step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

Weights = tuple[Tensor, ...]


class OneStep(NamedTuple):
    """Results of one unrolled step, all detached.

    Args:
        hyper: dL_va / dphi, one tensor per phi; minimise along minus this.
        gradients: g = grad_theta L_tr(theta, phi), for the ordinary step that follows.
        inner_loss: L_tr(theta, phi), 0-d.
        outer_loss: L_va(theta'), 0-d.
    """

    hyper: tuple[Tensor, ...]
    gradients: Weights
    inner_loss: Tensor
    outer_loss: Tensor


def one_step_hypergradient(
    inner: Callable[[Weights], Tensor],
    outer: Callable[[Weights], Tensor],
    theta: Sequence[Tensor],
    phi: Sequence[Tensor],
    step_size: float,
    weight_decay: float = 0.0,
) -> OneStep:
    """d/dphi of L_va(theta'(phi)), theta' = theta - eta (g(phi) + wd theta), exactly, by double backward.

    By the chain rule, with v = grad L_va(theta'),

        dL_va / dphi = - eta * (d^2 L_tr / dtheta dphi)^T v = - eta * d/dphi <g(theta, phi), stopgrad(v)>

    because only g depends on phi. The MINUS SIGN is part of it: without it the outer optimiser raises the
    validation loss (a defect of a published implementation).

    Cost in gradient evaluations (one forward + backward of one image), for batches B and B_v: B for g, B_v for
    v, and about 2 B for the double backward, so 3 B + B_v.

    Args:
        inner: theta -> L_tr(theta, phi), 0-d; phi enters by closure and must require gradients.
        outer: theta -> L_va(theta), 0-d, on examples the inner loss has not seen.
        theta: the weights; their values are not changed.
        phi: what is learned; an element that L_tr does not depend on gets zeros.
        step_size: eta > 0, the learning rate of the step that is looked ahead.
        weight_decay: coupled, as in the step that follows.
    """
    leaves = tuple(weight.detach().requires_grad_() for weight in theta)
    loss = inner(leaves)
    gradients = torch.autograd.grad(loss, leaves, create_graph=True)
    ahead = tuple(
        (weight - step_size * (gradient + weight_decay * weight)).detach().requires_grad_()
        for weight, gradient in zip(leaves, gradients, strict=True)
    )
    outer_loss = outer(ahead)
    direction = torch.autograd.grad(outer_loss, ahead)
    alignment = torch.stack([(g * v).sum() for g, v in zip(gradients, direction, strict=True)]).sum()
    mixed = torch.autograd.grad(alignment, phi, allow_unused=True)
    hyper = tuple(
        torch.zeros_like(p) if m is None else -step_size * m for p, m in zip(phi, mixed, strict=True)
    )
    detached = tuple(gradient.detach() for gradient in gradients)
    return OneStep(hyper, detached, loss.detach(), outer_loss.detach())
