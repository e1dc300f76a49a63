"""Closed-form leave-one-out against refits without the example, scikit-learn, and finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from sklearn.linear_model import RidgeCV
from torch import Generator, Tensor

from tracking.errors import UserError
from trainables.modules.ridge import energy, fit, loo_residuals, loo_residuals_on_grid

SHAPES = [(12, 5), (9, 20), (10, 10), (11, 10)]  # (n, d): more examples, more features, as many, one more
GRID = torch.tensor([1e-5, 1e-2, 1.0, 50.0], dtype=torch.float64).log()
Residuals = Callable[[Tensor, Tensor, Tensor], Tensor]


def data(n: int, d: int, seed: int = 0, sets: tuple[int, ...] = ()) -> tuple[Tensor, Tensor]:
    """Features (*sets, n, d) off the origin, of unequal scales, and targets (n, 2); float64."""
    generator = Generator().manual_seed(seed)
    z = torch.randn(*sets, n, d, generator=generator, dtype=torch.float64) * torch.linspace(0.3, 3, d) + 5
    return z, torch.randn(n, 2, generator=generator, dtype=torch.float64) - 1


def absolute_penalty(z: Tensor, log_penalty: Tensor) -> float:
    return float(log_penalty.exp() * energy(z - z.mean(0)))


def refitted_residuals(z: Tensor, y: Tensor, lam: float) -> Tensor:
    """Ridge with a free intercept, solved anew without each example in turn: the definition."""
    residuals = []
    for left_out in range(len(z)):
        rest = torch.arange(len(z)) != left_out
        mean_z, mean_y = z[rest].mean(0), y[rest].mean(0)
        a, b = z[rest] - mean_z, y[rest] - mean_y
        weight = torch.linalg.solve(a.T @ a + lam * torch.eye(z.shape[1], dtype=z.dtype), a.T @ b)
        residuals.append(y[left_out] - mean_y - (z[left_out] - mean_z) @ weight)
    return torch.stack(residuals)


def check_against_refits(residuals: Residuals, n: int, d: int) -> None:
    z, y = data(n, d)
    for log_penalty in GRID:
        expected = refitted_residuals(z, y, absolute_penalty(z, log_penalty))
        torch.testing.assert_close(residuals(z, y, log_penalty), expected, rtol=1e-9, atol=1e-9)


def at_one(z: Tensor, y: Tensor, log_penalty: Tensor) -> Tensor:
    """The grid's entrance with a grid of one."""
    return loo_residuals_on_grid(z, y, log_penalty.unsqueeze(0))[0]


def without_intercept(z: Tensor, y: Tensor, log_penalty: Tensor) -> Tensor:
    """Wrong: the intercept's own leverage 1/n is forgotten."""
    centred = z - z.mean(0)
    lam = log_penalty.exp() * energy(centred)
    hat = centred @ torch.linalg.solve(centred.T @ centred + lam * torch.eye(z.shape[1]).double(), centred.T)
    fitted = hat @ (y - y.mean(0))
    return (y - y.mean(0) - fitted) / (1 - hat.diagonal()).unsqueeze(-1)


def in_sample(z: Tensor, y: Tensor, log_penalty: Tensor) -> Tensor:
    """Wrong: nothing is left out."""
    return y - fit(z, y, log_penalty).predict(z)


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize("residuals", [loo_residuals, at_one])
def test_equals_refits_without_the_example(residuals: Residuals, n: int, d: int) -> None:
    check_against_refits(residuals, n, d)


@pytest.mark.parametrize("broken", [without_intercept, in_sample])
def test_the_check_rejects_wrong_residuals(broken: Residuals) -> None:
    for n, d in SHAPES:
        with pytest.raises(AssertionError):
            check_against_refits(broken, n, d)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_agrees_with_scikit_learn(n: int, d: int) -> None:
    """RidgeCV's efficient leave-one-out with an intercept: the same definition, another implementation."""
    z, y = data(n, d)
    alphas = [absolute_penalty(z, log_penalty) for log_penalty in GRID]
    reference = RidgeCV(alphas=alphas, store_cv_results=True, scoring=None).fit(z.numpy(), y.numpy())
    squared = loo_residuals_on_grid(z, y, GRID).square()  # (L, n, c)
    expected = torch.from_numpy(reference.cv_results_).permute(2, 0, 1)  # scikit-learn has (n, c, L)
    torch.testing.assert_close(squared, expected, rtol=1e-6, atol=1e-9)
    best = int(squared.mean((1, 2)).argmin())
    assert reference.alpha_ == pytest.approx(alphas[best])
    head = fit(z, y, GRID[best])
    torch.testing.assert_close(head.weight, torch.from_numpy(reference.coef_), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(head.bias, torch.from_numpy(reference.intercept_), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_gradient_equals_finite_differences(n: int, d: int) -> None:
    z, y = data(n, d)
    log_penalty = torch.tensor(-2.0, dtype=torch.float64)

    def risk(features: Tensor, at: Tensor) -> Tensor:
        return loo_residuals(features, y, at).square().sum(-1).mean()

    z.requires_grad_()
    log_penalty.requires_grad_()
    slope_z, slope_penalty = torch.autograd.grad(risk(z, log_penalty), (z, log_penalty))
    z, log_penalty, step = z.detach(), log_penalty.detach(), 1e-5
    direction = torch.randn(z.shape, generator=Generator().manual_seed(1), dtype=torch.float64)
    numeric = (risk(z + step * direction, log_penalty) - risk(z - step * direction, log_penalty)) / (2 * step)
    assert float((slope_z * direction).sum()) == pytest.approx(float(numeric), rel=1e-6)
    numeric = (risk(z, log_penalty + step) - risk(z, log_penalty - step)) / (2 * step)
    assert float(slope_penalty) == pytest.approx(float(numeric), rel=1e-6)


def test_gradient_is_finite_where_eigenvalues_coincide() -> None:
    """Orthonormal and repeated features: an eigendecomposition's derivative would be NaN."""
    for z in (torch.eye(8, 4, dtype=torch.float64), torch.ones(8, 20).double() * torch.arange(8).unsqueeze(-1)):
        z.requires_grad_()
        loss = loo_residuals(z, torch.eye(8, 3).double(), torch.tensor(-1.0)).square().sum()
        assert bool(torch.isfinite(torch.autograd.grad(loss, z)[0]).all())


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_shift_scale_and_width_change_nothing(n: int, d: int) -> None:
    """The intercept takes up shifts; the penalty follows the scale and ignores how features are repeated."""
    z, y = data(n, d)
    expected = loo_residuals_on_grid(z, y, GRID)
    for same in (z + 3.0, 1e-3 * z, torch.cat([z, z], -1), torch.cat([z, torch.ones_like(z)], -1)):
        torch.testing.assert_close(loo_residuals_on_grid(same, y, GRID), expected, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(loo_residuals_on_grid(z, y + 7.0, GRID), expected, rtol=1e-6, atol=1e-8)
    stretched = loo_residuals_on_grid(z * torch.linspace(1, 9, d), y, GRID)
    assert not torch.allclose(stretched, expected, rtol=1e-2), "another kernel is another head"


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_batched_equals_looped(n: int, d: int) -> None:
    z, y = data(n, d, sets=(3, 2))
    log_penalty = torch.linspace(-3, 1, 6, dtype=torch.float64).reshape(3, 2)
    one, grid, head = loo_residuals(z, y, log_penalty), loo_residuals_on_grid(z, y, GRID), fit(z, y, log_penalty)
    assert grid.shape == (3, 2, len(GRID), n, 2)
    for m in range(3):
        for k in range(2):
            alone = z[m, k], y, log_penalty[m, k]
            torch.testing.assert_close(one[m, k], loo_residuals(*alone), rtol=1e-10, atol=1e-12)
            torch.testing.assert_close(grid[m, k], loo_residuals_on_grid(z[m, k], y, GRID), rtol=1e-8, atol=1e-10)
            torch.testing.assert_close(
                head.predict(z)[m, k], fit(*alone).predict(z[m, k]), rtol=1e-10, atol=1e-12
            )


def test_grid_and_single_penalty_agree_in_float32() -> None:
    z, y = data(200, 30)
    penalty = torch.full((), -4.0)
    single = loo_residuals(z.float(), y.float(), penalty)
    grid = loo_residuals_on_grid(z.float(), y.float(), penalty.unsqueeze(0))[0]
    torch.testing.assert_close(single, grid, rtol=1e-9, atol=1e-11)
    assert single.dtype == torch.float64
    assert fit(z.float(), y.float(), penalty).predict(z.float()).dtype == torch.float32


def test_penalty_is_the_ratio_of_noise_to_signal() -> None:
    """Data drawn from the prior: y = w z + noise, mean signal variance 1. The best penalty is the noise variance.

    In decades, averaged over 40 draws of 60 examples; a tied-to-the-wrong-power-of-n penalty would be off by 1.8.
    """
    grid = torch.linspace(math.log(1e-4), math.log(1e2), 25, dtype=torch.float64)
    generator = Generator().manual_seed(0)
    z = torch.randn(40, 60, 30, generator=generator, dtype=torch.float64)
    weight = torch.randn(40, 30, 1, generator=generator, dtype=torch.float64) / 30**0.5
    for noise in (0.1, 1.0):
        y = z @ weight + noise**0.5 * torch.randn(40, 60, 1, generator=generator, dtype=torch.float64)
        risk = loo_residuals_on_grid(z, y, grid).square().mean((0, 2, 3))
        assert abs(float(grid[risk.argmin()]) - math.log(noise)) < math.log(10) / 2


@pytest.mark.parametrize("call", [fit, loo_residuals, loo_residuals_on_grid])
@pytest.mark.parametrize(
    "features",
    [
        pytest.param(torch.full((6, 3), 0.1), id="constant"),
        pytest.param(torch.full((6, 3), 0.1) + 1e-8 * torch.eye(6, 3), id="constant to rounding"),
        pytest.param(torch.zeros(6, 3), id="zero"),
        pytest.param(torch.eye(6, 3) / 0, id="not finite"),
        pytest.param(torch.ones(1, 3), id="one example"),
    ],
)
def test_features_without_a_head_are_refused(call: Callable[..., object], features: Tensor) -> None:
    at = torch.zeros(2) if call is loo_residuals_on_grid else torch.zeros(())
    with pytest.raises(UserError):
        call(features, torch.eye(len(features), 2), at)


def test_the_message_names_the_collapsed_feature_sets() -> None:
    z, y = data(8, 3, sets=(4,))
    z[2] = 1.0
    with pytest.raises(UserError, match=r"\[2\] of 4"):
        loo_residuals_on_grid(z, y, GRID)


def test_constant_targets_are_predicted() -> None:
    z, _ = data(8, 3)
    assert float(loo_residuals_on_grid(z, torch.ones(8, 2), GRID).abs().max()) < 1e-9


def weighing(n: int) -> Tensor:
    """Weights over two decades, not normalised."""
    return torch.logspace(-1, 1, n, dtype=torch.float64)[torch.randperm(n, generator=Generator().manual_seed(4))]


def refitted_weighted(z: Tensor, y: Tensor, lam: float, w: Tensor) -> Tensor:
    """Weighted ridge with a free intercept as one system of normal equations, without each example in turn."""
    wide = torch.cat([z, torch.ones(len(z), 1, dtype=z.dtype)], -1)
    penalty = lam * torch.diag(torch.cat([torch.ones(z.shape[1]), torch.zeros(1)]).double())
    residuals = []
    for left_out in range(len(z)):
        rest = torch.arange(len(z)) != left_out
        scaled = wide[rest].T * w[rest]
        solved = torch.linalg.solve(scaled @ wide[rest] + penalty, scaled @ y[rest])
        residuals.append(y[left_out] - wide[left_out] @ solved)
    return torch.stack(residuals)


def check_against_weighted_refits(residuals: Callable[..., Tensor], n: int, d: int) -> None:
    (z, y), w = data(n, d), weighing(n)
    share = w / w.mean()
    mean = (share[:, None] * z).mean(0)
    scale = float((share * (z - mean).square().sum(-1)).mean())
    for log_penalty in GRID:
        expected = refitted_weighted(z, y, float(log_penalty.exp()) * scale, share)
        torch.testing.assert_close(residuals(z, y, log_penalty, w), expected, rtol=1e-8, atol=1e-8)


def weighted_at_one(z: Tensor, y: Tensor, log_penalty: Tensor, w: Tensor) -> Tensor:
    return loo_residuals_on_grid(z, y, log_penalty.unsqueeze(0), w)[0]


def unweighted(z: Tensor, y: Tensor, log_penalty: Tensor, w: Tensor) -> Tensor:
    """Wrong: weights are ignored."""
    return loo_residuals(z, y, log_penalty)


def left_scaled(z: Tensor, y: Tensor, log_penalty: Tensor, w: Tensor) -> Tensor:
    """Wrong: residuals of the scaled problem, not of the examples."""
    return loo_residuals(z, y, log_penalty, w) * (w / w.mean()).sqrt().unsqueeze(-1)


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize("residuals", [loo_residuals, weighted_at_one])
def test_weighted_residuals_equal_refits_without_the_example(
    residuals: Callable[..., Tensor], n: int, d: int
) -> None:
    check_against_weighted_refits(residuals, n, d)


@pytest.mark.parametrize("broken", [unweighted, left_scaled])
def test_the_weighted_check_rejects_wrong_residuals(broken: Callable[..., Tensor]) -> None:
    for n, d in SHAPES:
        with pytest.raises(AssertionError):
            check_against_weighted_refits(broken, n, d)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_a_weight_of_three_is_an_example_three_times(n: int, d: int) -> None:
    """The penalty is against a sum over examples, of which weights of mean 1 leave as many as there were."""
    z, y = data(n, d)
    times = torch.arange(n) % 3 + 1
    more = GRID[1] + times.double().mean().log()
    weighted = fit(z, y, GRID[1], times)
    repeated = fit(z.repeat_interleave(times, 0), y.repeat_interleave(times, 0), more)
    torch.testing.assert_close(weighted.weight, repeated.weight, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(weighted.bias, repeated.bias, rtol=1e-8, atol=1e-10)
    assert not torch.allclose(weighted.weight, fit(z, y, GRID[1]).weight, rtol=1e-2)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_equal_weights_change_no_bit(n: int, d: int) -> None:
    z, y = data(n, d)
    for alike in (torch.ones(n), torch.full((n,), 4.0)):
        assert torch.equal(loo_residuals(z, y, GRID[1], alike), loo_residuals(z, y, GRID[1]))
        assert torch.equal(loo_residuals_on_grid(z, y, GRID, alike), loo_residuals_on_grid(z, y, GRID))
        assert torch.equal(fit(z, y, GRID[1], alike).weight, fit(z, y, GRID[1]).weight)
