"""Implicit gradients against the closed form of a quadratic problem, its error bound, and retrained losses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy

from tests.trainables.modules.test_hypergradient import DECAY, Estimating, Quadratic
from trainables.modules import implicit_gradient
from trainables.modules.hypergradient import Estimate, SeriesMeans, Step, Weights, detached
from trainables.modules.implicit_gradient import Implicit, Product, Solver, conjugate_gradient, neumann

WIDE = torch.float64


def at_optimum(problem: Quadratic, decay: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """(theta*, exact hypergradient, H) with theta* = (A + wd I)^-1 A B phi."""
    hessian = problem.a + decay * torch.eye(4, dtype=WIDE)
    reach = torch.linalg.solve(hessian, problem.a @ problem.b)
    theta = reach @ problem.phi
    return theta, reach.T @ (theta - problem.c), hessian


def estimated(estimate: Estimating, problem: Quadratic, theta: Tensor, decay: float = 0.0) -> Estimate:
    phi = problem.phi.clone().requires_grad_()
    return estimate(lambda t: problem.inner(t, phi), problem.outer, (theta,), (phi,), Step(0.1, decay))


def check_bound(estimate: Estimating, products: int, alpha: float, seed: int) -> None:
    """Neumann's error is at most max |1 - alpha lambda|^(K+1) |H^-1 v| |A B|, sign and scale included."""
    problem = Quadratic(seed)
    theta, exact, hessian = at_optimum(problem, DECAY)
    rates = torch.linalg.eigvalsh(hessian)
    rate = (1 - alpha * rates).abs().max()
    assert rate < 1, "the series converges"
    v = theta - problem.c
    reach = torch.linalg.matrix_norm(problem.a @ problem.b, 2) * torch.linalg.solve(hessian, v).norm()
    error = (estimated(estimate, problem, theta, DECAY).hyper[0] - exact).norm()
    assert error <= rate ** (products + 1) * reach + 1e-9


def safe_alpha(seed: int) -> float:
    """1 / lambda_max."""
    return float(1 / torch.linalg.eigvalsh(at_optimum(Quadratic(seed), DECAY)[2]).max())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("products", [1, 5, 60])
def test_neumann_keeps_its_error_bound(products: int, seed: int) -> None:
    alpha = safe_alpha(seed)
    check_bound(Implicit(products=products, alpha=alpha).estimate, products, alpha, seed)


@pytest.mark.parametrize("seed", range(3))
def test_conjugate_gradient_is_exact_after_as_many_steps_as_weights(seed: int) -> None:
    problem = Quadratic(seed)
    theta, exact, _ = at_optimum(problem, DECAY)
    solver = Implicit(Solver.CONJUGATE_GRADIENT, products=4)
    found = estimated(solver.estimate, problem, theta, DECAY)
    torch.testing.assert_close(found.hyper[0], exact, rtol=1e-7, atol=1e-9)
    assert found.series is not None
    assert found.series.tolist() == [0, 0, 0], "nothing was cut short"


def flipped(products: int, alpha: float) -> Estimating:
    """The published defect: no minus sign."""
    def estimate(*args: Any) -> Estimate:
        found = Implicit(products=products, alpha=alpha).estimate(*args)
        return found._replace(hyper=tuple(-h for h in found.hyper))

    return estimate


def aliased(products: int, alpha: float) -> Estimating:
    """The published defect: sum and term are one tensor, which leaves alpha 2^K (I - alpha H)^K v."""
    def solve(product: Product, v: Weights, products: int, alpha: float) -> tuple[Weights, Tensor]:
        term = tuple(part.clone() for part in v)
        for _ in range(products):
            term = tuple(2 * (t - alpha * h) for t, h in zip(term, product(term), strict=True))
        return tuple(alpha * t for t in term), torch.zeros(2)

    def estimate(*args: Any) -> Estimate:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(implicit_gradient, "neumann", solve)
            return Implicit(products=products, alpha=alpha).estimate(*args)

    return estimate


@pytest.mark.parametrize("broken", [flipped, aliased])
def test_the_bound_rejects_the_published_defects(broken: Any) -> None:
    alpha = safe_alpha(0)
    with pytest.raises(AssertionError):
        check_bound(broken(60, alpha), 60, alpha, 0)


def test_retrained_validation_loss_falls_along_the_estimate() -> None:
    """d/dphi of L_va(theta*(phi)) of a small logistic regression, by central differences of retrained weights."""
    generator = Generator().manual_seed(5)
    x, x_outer = (torch.randn(24, 3, generator=generator, dtype=WIDE) for _ in range(2))
    y, y_outer = (torch.randint(3, (24,), generator=generator) for _ in range(2))
    phi = 0.3 * torch.randn(3, generator=generator, dtype=WIDE)
    decay = 0.1

    def inner(weights: Weights, at: Tensor) -> Tensor:
        return cross_entropy((x * torch.exp(at)) @ weights[0], y)

    def outer(weights: Weights) -> Tensor:
        return cross_entropy(x_outer @ weights[0], y_outer)

    def retrained(at: Tensor) -> Tensor:
        theta = torch.zeros(3, 3, dtype=WIDE, requires_grad=True)
        optimiser = torch.optim.LBFGS(
            [theta], max_iter=500, tolerance_grad=1e-13, tolerance_change=0, line_search_fn="strong_wolfe"
        )

        def closure() -> Tensor:
            optimiser.zero_grad()
            loss = inner((theta,), at) + 0.5 * decay * theta.square().sum()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        optimiser.step(closure)  # type: ignore[no-untyped-call]
        return theta.detach()

    live = phi.clone().requires_grad_()
    theta = retrained(phi)
    numeric = torch.stack([
        (outer((retrained(phi + e),)) - outer((retrained(phi - e),))) / 2e-4 for e in 1e-4 * torch.eye(3, dtype=WIDE)
    ])
    for solver in (Implicit(products=400, alpha=1.0), Implicit(Solver.CONJUGATE_GRADIENT, products=9)):
        found = solver.estimate(lambda t: inner(t, live), outer, (theta,), (live,), Step(0.1, decay))
        torch.testing.assert_close(found.hyper[0], numeric, rtol=1e-4, atol=1e-7)
        assert not found.hyper[0].requires_grad


def linear(matrix: Tensor) -> Product:
    return lambda u: detached([matrix @ u[0]])


def test_a_diverging_series_is_cut_short_and_the_alpha_of_the_warning_converges() -> None:
    """lambda_max = 50 and alpha = 0.1: every term is four times the one before."""
    matrix, v = torch.diag(torch.tensor([50.0, 1.0, 0.5])), (torch.ones(3),)
    total, series = neumann(linear(matrix), v, 6, 0.1)
    torch.testing.assert_close(total[0], 0.1 * v[0], msg="nothing but the first term")
    means = SeriesMeans(*series.tolist())
    assert (means.diverged, means.bent) == (1, 0)
    said = Implicit(products=6, alpha=0.1).warning(means._replace(diverged=0.5))
    assert said is not None
    assert "diverged in 50% of the outer steps" in said
    better = float(said.split("try alpha = ")[1])
    assert better == pytest.approx(1 / 50, rel=0.06)
    means = SeriesMeans(*neumann(linear(matrix), v, 6, better)[1].tolist())
    assert means == (0, 0, 0)
    assert Implicit(products=6, alpha=better).warning(means) is None


@pytest.mark.parametrize("alpha", [0.1, 0.5, 100.0])
def test_negative_curvature_is_told_from_divergence_and_everything_stays_finite(alpha: float) -> None:
    """No alpha helps where H has a negative eigenvalue along v; a series of 300 terms may not overflow either."""
    total, series = neumann(linear(torch.diag(torch.tensor([-1.0, 1.0]))), (torch.tensor([1.0, 0.1]),), 300, alpha)
    assert series.tolist() == [0, 1, 0]
    assert "damping" in (Implicit(alpha=alpha).warning(SeriesMeans(0.0, 0.2, 0.0)) or "")
    exploding, told = neumann(linear(torch.diag(torch.tensor([1e6, 1.0]))), (torch.ones(2),), 300, alpha)
    assert all(torch.isfinite(part).all() for part in (total[0], series, exploding[0], told))


def test_curvature_that_overflows_stays_a_number() -> None:
    """It is a metric, and one that is not finite would fail a trial whose estimate is sound."""
    for steep in (1e15, 1e25, 1e30):
        _, series = neumann(linear(torch.diag(torch.tensor([steep, steep / 1e5]))), (torch.ones(2),), 2, 0.1)
        assert bool(series.isfinite().all()) and float(series[2]) > 0


def test_one_nearly_flat_direction_does_not_decide_the_alpha() -> None:
    """<t, Ht> is nearly zero, |Ht|^2 is not: their ratio would be 5,000 where the largest curvature is 10."""
    matrix, v = torch.diag(torch.tensor([10.0, -9.99])), (torch.ones(2),)
    _, series = neumann(linear(matrix), v, 1, 0.5)
    assert float(series[0]) == 1 and 10 <= float(series[2]) <= 20


def test_damping_is_added_to_the_diagonal_and_the_gradient_is_taken_at_theta() -> None:
    """Away from the optimum, where a look-ahead would differ: (A B)^T (A + (wd + damping) I)^-1 (theta - c)."""
    problem = Quadratic(2)
    eye = torch.eye(4, dtype=WIDE)
    hessian = problem.a + (DECAY + 0.7) * eye
    expected = (problem.a @ problem.b).T @ torch.linalg.solve(hessian, problem.theta - problem.c)
    solver = Implicit(Solver.CONJUGATE_GRADIENT, products=4, damping=0.7)
    found = estimated(solver.estimate, problem, problem.theta, DECAY).hyper[0]
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)


def test_what_grew_stays_cut() -> None:
    """Terms that shrink again after one that grew are left out too: the sum is a prefix of the series."""
    turned = torch.tensor([[0.0, -3.0], [0.1, 0.0]])  # I - H, whose square is -0.3 I: lengths 1, 3, .3, .9
    series = [torch.tensor([0.0, 1.0])]
    for _ in range(3):
        series.append(turned @ series[-1])
    assert series[1].norm() > series[0].norm() > series[2].norm()
    total, told = neumann(linear(torch.eye(2) - turned), (series[0],), 3, 1.0)
    assert torch.equal(total[0], series[0])
    assert told[0] == 1


def test_conjugate_gradient_stops_at_negative_curvature() -> None:
    """First step: x = v. Later: what was found before stays, and nothing is infinite."""
    v = (torch.tensor([1.0, 2.0]),)
    x, series = conjugate_gradient(linear(-torch.eye(2)), v, 3)
    assert torch.equal(x[0], v[0])
    assert series.tolist() == [0, 1, 0]
    assert "damping" in (Implicit(Solver.CONJUGATE_GRADIENT).warning(SeriesMeans(0.0, 0.5, 0.0)) or "")
    bent = torch.diag(torch.tensor([1.0, -0.2]))
    first, _ = conjugate_gradient(linear(bent), (torch.tensor([2.0, 1.0]),), 1)
    later, _ = conjugate_gradient(linear(bent), (torch.tensor([2.0, 1.0]),), 5)
    assert torch.isfinite(later[0]).all()
    assert torch.equal(first[0], later[0])
    nothing, series = conjugate_gradient(linear(torch.eye(2)), (torch.zeros(2),), 3)
    assert torch.equal(nothing[0], torch.zeros(2))
    assert series.tolist() == [0, 0, 0]
