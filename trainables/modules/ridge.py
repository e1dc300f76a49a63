"""Closed-form ridge heads with exact leave-one-out, for many feature sets at once.

A head is f(z) = W z + b with the intercept b free of penalty,

    min_{W, b}  sum_j ||y_j - W z_j - b||^2 + lam ||W||_F^2,    lam = exp(log_penalty) * mean_j ||z_j - z_mean||^2.

So exp(log_penalty) is the ratio of noise to signal variance in the Gaussian process with kernel <z, z'> scaled to a
mean diagonal of one (Rasmussen & Williams 2006, section 2.2). It depends neither on the scale of the features, nor on
their number d, nor on the number of examples n: one grid serves all extractors and task sizes.

With both sides centred and H = Z (Z^T Z + lam I)^-1 Z^T, leaving example j out changes its residual to

    e_j = (y_j - yhat_j) / (1 - 1/n - H_jj),

exactly, for lam held fixed (Allen 1974; Golub, Heath & Wahba 1979); lam sees all features, but no label.

Examples may count differently: with weights w_j of mean 1 every sum over examples is one of w_j times its terms, and
every mean a weighted one. That is the same problem on sqrt(w_j) (z_j - z_mean) and sqrt(w_j) (y_j - y_mean), where

    e_j = (y_j - yhat_j) / (1 - w_j/n - H_jj).

Axes: ... feature sets (descriptors), n examples, d features, c outputs, L penalties, r terms of a decomposition.
Everything is computed in float64, whatever comes in: near interpolation 1 - 1/n - H_jj is a small number. One core of a
busy laptop-class machine takes 22 ms for a grid of 15 penalties and 14 ms forward and backward at one, for n = 500 and
d = 128; 170 and 160 ms for d = 512.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tracking.errors import UserError


@dataclass(frozen=True, slots=True)
class RidgeHead:
    """A fitted linear head per feature set.

    Args:
        weight: (..., c, d).
        bias: (..., c).
    """

    weight: Tensor
    bias: Tensor

    def predict(self, features: Tensor) -> Tensor:
        """(..., n, d) -> (..., n, c), in the precision of the features."""
        weight, bias = self.weight.to(features.dtype), self.bias.to(features.dtype)
        return features @ weight.mT + bias.unsqueeze(-2)


def fit(features: Tensor, targets: Tensor, log_penalty: Tensor, weights: Tensor | None = None) -> RidgeHead:
    """The head at one penalty per feature set; through the n x n dual where that is no larger.

    Args:
        features: (..., n, d); need not be centred.
        targets: (n, c) or (..., n, c); one-hot or real.
        log_penalty: (...), natural logarithm, in units of the mean squared norm of centred features.
        weights: (n,) > 0, how much each example counts, up to a factor; None means all alike.

    Raises:
        UserError: fewer than two examples, features that are constant or not finite.
    """
    w = _weights(features, weights)
    z, y = _centred(features, w), _centred_targets(targets, w)
    lam = torch.exp(log_penalty.double()) * energy(z)
    if _interpolates(z):
        weight = z.mT @ torch.cholesky_solve(y, _factor(_deflated_gram(z, w), lam))
    else:
        weight = torch.cholesky_solve(z.mT @ y, _factor(z.mT @ z, lam))
    bias = (_mean(targets.double(), w) - _mean(features.double(), w) @ weight).squeeze(-2)
    return RidgeHead(weight.mT, bias)


def loo_residuals(
    features: Tensor, targets: Tensor, log_penalty: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Leave-one-out residuals at one penalty per feature set, differentiable in features and log_penalty.

    Through Cholesky factors: the derivative of an eigendecomposition is undefined where eigenvalues coincide, and
    those of rank-deficient features do.

    Args:
        features: (..., n, d); need not be centred.
        targets: (n, c) or (..., n, c).
        log_penalty: (...), as in `fit`.
        weights: (n,), as in `fit`.

    Returns:
        target minus the prediction of the head that has not seen it, (..., n, c), float64.

    Raises:
        UserError: fewer than two examples, features that are constant or not finite.
    """
    w = _weights(features, weights)
    z, y = _centred(features, w), _centred_targets(targets, w)
    lam = torch.exp(log_penalty.double()) * energy(z)
    residuals = _dual_residuals if _interpolates(z) else _primal_residuals
    return _unscaled(residuals(z, y, lam, w), w)


@torch.no_grad()
def loo_residuals_on_grid(
    features: Tensor, targets: Tensor, log_penalties: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Leave-one-out residuals at every penalty of a grid from one eigendecomposition; carries no gradient.

    With Z^T Z = V diag(s) V^T and P = Z V, H = P diag(1 / (s + lam)) P^T for every lam; where the head could
    interpolate, I - H = U diag(lam / (s + lam)) U^T with Z Z^T = U diag(s) U^T.

    Args:
        features: (..., n, d); need not be centred.
        targets: (n, c) or (..., n, c).
        log_penalties: (L,), as in `fit`.
        weights: (n,), as in `fit`.

    Returns:
        (..., L, n, c), float64.

    Raises:
        UserError: fewer than two examples, features that are constant or not finite.
    """
    w = _weights(features, weights)
    z, y = _centred(features, w), _centred_targets(targets, w)
    scale = energy(z).unsqueeze(-1)
    lam = torch.exp(log_penalties.double()) * scale  # (..., L)
    if _interpolates(z):
        spectrum, basis = torch.linalg.eigh(_deflated_gram(z, w))
        shrink = lam.unsqueeze(-1) / (spectrum.clamp_min(0).unsqueeze(-2) + lam.unsqueeze(-1))  # (..., L, n)
        return _unscaled(_mixed(basis, shrink, y) / _stays(shrink @ basis.square().mT, lam, scale, w), w)
    spectrum, vectors = torch.linalg.eigh(z.mT @ z)
    basis, shrink = z @ vectors, 1 / (spectrum.clamp_min(0).unsqueeze(-2) + lam.unsqueeze(-1))
    leverage: Tensor = shrink @ basis.square().mT  # (..., L, n)
    residuals = y.unsqueeze(-3) - _mixed(basis, shrink, y)
    return _unscaled(residuals / (1 - _shares(z, w) - leverage).unsqueeze(-1), w)


def energy(centred: Tensor) -> Tensor:
    """Mean squared norm of centred (and weighted) features (..., n, d) -> (...): the unit of the penalty."""
    return centred.square().sum((-2, -1)) / centred.shape[-2]


def _primal_residuals(z: Tensor, y: Tensor, lam: Tensor, w: Tensor | None) -> Tensor:
    """With Z^T Z + lam I = L L^T and Q = L^-1 Z^T: H = Q^T Q."""
    half: Tensor = torch.linalg.solve_triangular(_factor(z.mT @ z, lam), z.mT, upper=False)  # (..., d, n)
    leverage = half.square().sum(-2)
    return (y - half.mT @ (half @ y)) / (1 - _shares(z, w) - leverage).unsqueeze(-1)


def _dual_residuals(z: Tensor, y: Tensor, lam: Tensor, w: Tensor | None) -> Tensor:
    """With G = (Z Z^T + lam I)^-1: I - H = lam G, so nothing cancels where the head interpolates."""
    factor = _factor(_deflated_gram(z, w), lam)
    identity = torch.eye(z.shape[-2], dtype=z.dtype, device=z.device)
    half = torch.linalg.solve_triangular(factor, identity.expand_as(factor), upper=False)  # L^-1
    residual: Tensor = lam[..., None, None] * (half.mT @ (half @ y))
    return residual / _stays(lam.unsqueeze(-1) * half.square().sum(-2), lam, energy(z), w)


def _interpolates(z: Tensor) -> bool:
    """Whether a head without penalty could fit anything; there the n x n system is no larger, and exact."""
    return z.shape[-2] <= z.shape[-1] + 1


def _deflated_gram(z: Tensor, w: Tensor | None) -> Tensor:
    """Z Z^T with the eigenvalue of the vector sqrt(w), 0 as Z is centred, moved to the trace of Z Z^T.

    At 0 it would be the one direction that the penalty alone holds, and its share in G, which the intercept takes
    away again, could be a million times what is left.
    """
    moved = energy(z)[..., None, None]
    return z @ z.mT + (moved if w is None else moved * torch.outer(w.sqrt(), w.sqrt()))


def _stays(shrunk: Tensor, lam: Tensor, scale: Tensor, w: Tensor | None) -> Tensor:
    """1 - w_j/n - H_jj from lam G_jj of the deflated Gram matrix, (..., n) -> (..., n, 1)."""
    n = shrunk.shape[-1]
    constant = (lam / (lam + n * scale)).unsqueeze(-1) / n
    return (shrunk - (constant if w is None else constant * w)).unsqueeze(-1)


def _shares(z: Tensor, w: Tensor | None) -> Tensor | float:
    """w_j/n, the intercept's leverage: (n,), or one number."""
    return 1 / z.shape[-2] if w is None else w / len(w)


def _unscaled(residuals: Tensor, w: Tensor | None) -> Tensor:
    """Of the scaled problem (..., n, c) -> of the examples."""
    return residuals if w is None else residuals / w.sqrt().unsqueeze(-1)


def _mixed(basis: Tensor, shrink: Tensor, y: Tensor) -> Tensor:
    """basis diag(shrink) basis^T y: (..., n, r), (..., L, r), (..., n, c) -> (..., L, n, c)."""
    return basis.unsqueeze(-3) @ (shrink.unsqueeze(-1) * (basis.mT @ y).unsqueeze(-3))


def _factor(gram: Tensor, lam: Tensor) -> Tensor:
    """Lower Cholesky factor of gram + lam I."""
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    factor: Tensor = torch.linalg.cholesky(gram + lam[..., None, None] * identity)
    return factor


def _weights(features: Tensor, weights: Tensor | None) -> Tensor | None:
    """(n,) of mean 1, float64, or None for all alike; refuses features of too few examples."""
    if features.dim() < 2 or features.shape[-2] < 2:
        raise UserError(
            "a head needs features (..., examples, width) of at least two examples", tuple(features.shape)
        )
    if weights is None:
        return None
    assert weights.shape == features.shape[-2:-1], "one weight for each example"
    wide = weights.to(features.device, torch.float64)
    return wide / wide.mean()


def _mean(values: Tensor, w: Tensor | None) -> Tensor:
    """Weighted mean over examples, (..., n, c) -> (..., 1, c)."""
    return (values if w is None else w.unsqueeze(-1) * values).mean(-2, keepdim=True)


def _scaled(values: Tensor, w: Tensor | None) -> Tensor:
    """sqrt(w_j) (v_j - v_mean), (..., n, c)."""
    centred = values - _mean(values, w)
    return centred if w is None else w.sqrt().unsqueeze(-1) * centred


def _centred(features: Tensor, w: Tensor | None) -> Tensor:
    """sqrt(w_j) (z_j - z_mean), float64; refuses what no head can be fitted to."""
    z = _scaled(features.double(), w)
    _refuse_constant(features.detach(), energy(z.detach()))
    return z


def _refuse_constant(features: Tensor, centred_energy: Tensor) -> None:
    """A spread within rounding of the features' own precision is no spread; NaN and infinity are neither."""
    rounding = 32 * torch.finfo(features.dtype).eps
    floor = rounding**2 * features.double().square().mean((-2, -1)) * features.shape[-1]
    bad = ~(torch.isfinite(centred_energy) & (centred_energy > floor))
    if bool(bad.any()):
        which = bad.flatten().nonzero().flatten().tolist()
        raise UserError(
            "features must be finite and differ between examples",
            f"feature sets {which[:8]} of {bad.numel()}" + (" (and more)" if len(which) > 8 else ""),
            "images that are all alike, or an extractor that has collapsed or diverged",
        )


def _centred_targets(targets: Tensor, w: Tensor | None) -> Tensor:
    if targets.dim() < 2:
        raise ValueError(f"targets must be (..., examples, outputs), got {tuple(targets.shape)}")
    return _scaled(targets.double(), w)
