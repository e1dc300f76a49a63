"""The hypergradient against closed forms and finite differences; a flipped sign must not pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy

from trainables.modules.hypergradient import Derivative, Estimate, OneStep, Step, Weights, central_difference

Estimating = Callable[..., Estimate]
ETA, DECAY = 0.1, 0.03
STEP = Step(ETA, DECAY)
EXACT = OneStep().estimate
DIFFERENCE = OneStep(Derivative.DIFFERENCE).estimate


class Quadratic:
    """L_tr = (theta - B phi)^T A (theta - B phi) / 2 and L_va = |theta - c|^2 / 2, everything known."""

    def __init__(self, seed: int) -> None:
        generator = Generator().manual_seed(seed)
        self.b, self.c, self.theta, self.phi, root = (
            torch.randn(*size, generator=generator, dtype=torch.float64)
            for size in [(4, 3), (4,), (4,), (3,), (4, 4)]
        )
        self.a = root @ root.T + torch.eye(4, dtype=torch.float64)

    def inner(self, theta: Weights, phi: Tensor) -> Tensor:
        gap = theta[0] - self.b @ phi
        return 0.5 * gap @ self.a @ gap

    def outer(self, theta: Weights) -> Tensor:
        return 0.5 * (theta[0] - self.c).square().sum()

    def closed_form(self) -> Tensor:
        """eta B^T A (theta_1 - c), theta_1 = theta - eta (A (theta - B phi) + wd theta)."""
        gradient = self.a @ (self.theta - self.b @ self.phi) + DECAY * self.theta
        return ETA * self.b.T @ self.a @ (self.theta - ETA * gradient - self.c)

    def exact_bilevel(self) -> Tensor:
        """B^T (B phi - c): the hypergradient of the whole problem, at the inner optimum theta = B phi."""
        return self.b.T @ (self.b @ self.phi - self.c)


def check_quadratic(estimator: Estimating, seed: int) -> None:
    """Sign and scale of one unrolled step."""
    problem = Quadratic(seed)
    phi = problem.phi.clone().requires_grad_()
    result = estimator(lambda t: problem.inner(t, phi), problem.outer, (problem.theta,), (phi,), STEP)
    torch.testing.assert_close(result.hyper[0], problem.closed_form(), rtol=1e-10, atol=1e-12)


def check_finite_difference(estimator: Estimating, rtol: float = 1e-5) -> None:
    """d/dphi of L_va(theta - eta (grad L_tr + wd theta)) for a small network, by central differences."""
    generator = Generator().manual_seed(3)
    x, x_outer = (torch.randn(8, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    y, y_outer = (torch.randint(3, (8,), generator=generator) for _ in range(2))
    theta = tuple(
        torch.randn(*size, generator=generator, dtype=torch.float64) * 0.5 for size in [(5, 7), (7, 3)]
    )
    phi = torch.randn(5, generator=generator, dtype=torch.float64).requires_grad_()

    def logits(weights: Weights, inputs: Tensor) -> Tensor:
        return torch.tanh(inputs @ weights[0]) @ weights[1]

    def inner(weights: Weights, at: Tensor) -> Tensor:
        return cross_entropy(logits(weights, x * torch.exp(at)), y)

    def outer(weights: Weights) -> Tensor:
        return cross_entropy(logits(weights, x_outer), y_outer)

    def looked_ahead(at: Tensor) -> Tensor:
        leaves = tuple(weight.clone().requires_grad_() for weight in theta)
        gradients = torch.autograd.grad(inner(leaves, at), leaves)
        ahead = (w - ETA * (g + DECAY * w) for w, g in zip(theta, gradients, strict=True))
        return outer(tuple(ahead))

    result = estimator(lambda t: inner(t, phi), outer, theta, (phi,), STEP)
    step = 1e-5 * torch.eye(5, dtype=torch.float64)
    numeric = torch.stack([
        (looked_ahead(phi.detach() + e) - looked_ahead(phi.detach() - e)) / 2e-5 for e in step
    ])
    # Central differences of a smooth function: error of order step^2, far below 1e-6 relative.
    torch.testing.assert_close(result.hyper[0], numeric, rtol=rtol, atol=1e-9)


def test_the_central_difference_agrees_on_a_smooth_network() -> None:
    """Its step of 0.01 leaves an error of second order; units with kinks are another matter."""
    with pytest.raises(AssertionError):
        check_finite_difference(DIFFERENCE)  # not as exact as double backward
    check_finite_difference(DIFFERENCE, rtol=1e-3)


def test_what_a_batch_does_not_depend_on_has_no_difference() -> None:
    """Of a batch for which nothing with a range was drawn the loss does not know the ranges: zeros, and no error."""
    theta, phi = (torch.ones(2),), torch.zeros(3, requires_grad=True)
    (found,) = central_difference(lambda weights: weights[0].sum(), theta, theta, (phi,))
    assert torch.equal(found, torch.zeros(3))
    (other,) = central_difference(lambda weights: (weights[0].sum() * phi).sum(), theta, theta, (phi,))
    assert other.abs().min() > 0  # the control


def flipped(*args: Any) -> Estimate:
    """The published defect: the minus sign is missing."""
    result = EXACT(*args)
    return result._replace(hyper=tuple(-h for h in result.hyper))


def unscaled(*args: Any) -> Estimate:
    """eta dropped."""
    result = EXACT(*args)
    return result._replace(hyper=tuple(h / ETA for h in result.hyper))


def not_ahead(inner: Any, outer: Any, theta: Any, phi: Any, step: Step) -> Estimate:
    """T1-T2: the validation gradient at theta, not at the looked-ahead weights."""
    result = EXACT(inner, outer, theta, phi, Step(1e-12, step.weight_decay))
    return result._replace(hyper=tuple(h / 1e-12 * ETA for h in result.hyper))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("estimate", [EXACT, DIFFERENCE])
def test_quadratic_bilevel_problem(estimate: Estimating, seed: int) -> None:
    """The mixed derivative is constant here, so that the difference is exact too."""
    check_quadratic(estimate, seed)


def test_small_network_agrees_with_finite_differences() -> None:
    check_finite_difference(EXACT)


@pytest.mark.parametrize("broken", [flipped, unscaled, not_ahead])
def test_checks_reject_a_wrong_hypergradient(broken: Estimating) -> None:
    with pytest.raises(AssertionError):
        check_quadratic(broken, 0)
    with pytest.raises(AssertionError):
        check_finite_difference(broken)


def test_points_where_the_exact_bilevel_gradient_points() -> None:
    """At the inner optimum with A = I and no decay one step is eta times the exact hypergradient."""
    problem = Quadratic(0)
    problem.a = torch.eye(4, dtype=torch.float64)
    phi = problem.phi.clone().requires_grad_()
    theta = (problem.b @ problem.phi,)
    result = EXACT(lambda t: problem.inner(t, phi), problem.outer, theta, (phi,), Step(ETA))
    torch.testing.assert_close(result.hyper[0], ETA * problem.exact_bilevel(), rtol=1e-10, atol=1e-12)


def test_returns_the_gradient_for_the_ordinary_step_and_changes_nothing() -> None:
    problem = Quadratic(1)
    phi, theta = problem.phi.clone().requires_grad_(), problem.theta.clone()
    unused = torch.ones(2, requires_grad=True)
    result = EXACT(
        lambda t: problem.inner(t, phi), problem.outer, (theta,), (phi, unused), Step(ETA)
    )
    torch.testing.assert_close(result.gradients[0], problem.a @ (problem.theta - problem.b @ problem.phi))
    assert torch.equal(theta, problem.theta)
    assert not theta.requires_grad
    assert torch.equal(result.hyper[1], torch.zeros(2)), "what the inner loss does not depend on gets zeros"
    given = (*result.hyper, *result.gradients, result.inner_loss, result.outer_loss)
    assert not any(tensor.requires_grad for tensor in given)
