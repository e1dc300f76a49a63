"""Laplace's estimate of a classifier's log marginal likelihood, differentiable in what its inputs went through.

    log q(D | eta, delta) = log p(D | w) - delta/2 ||w||^2 - 1/2 log det(I + n H / delta)

with f_i = mean_s f(g_s x_i; w) the outputs averaged over S augmented copies (van der Ouderaa & van der Wilk 2021; LILA,
Immer et al. 2022) and H ~ A (x) G layer by layer, see `kronecker`, so that the determinant is the product over pairs of
eigenvalues 1 + n alpha_i gamma_j / delta. The prior is on the weights that have factors; all else, scales and shifts of
normalisations, is taken as given.

Axes: m examples of a block, S copies, C outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tracking.record import NotFiniteError
from trainables.modules.kronecker import curved_layers, kronecker_factors

PRECISIONS = (1e-3, 1e5)  # least and most of the prior
STEPS = 25                # of the fixed point; each halves the distance of the logarithm, or does better


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the estimate is made of, for any precision of the prior.

    Args:
        fit: mean log-likelihood of the block, 0-d.
        squares: ||w||^2, 0-d.
        eigenvalues: of n H, not negative, 1-d.
        examples: n.
    """

    fit: Tensor
    squares: Tensor
    eigenvalues: Tensor
    examples: int

    def value(self, precision: Tensor) -> Tensor:
        """log q / n, 0-d."""
        volume = torch.log1p(self.eigenvalues / precision).sum()
        return self.fit - (precision * self.squares + volume) / (2 * self.examples)

    @torch.no_grad()
    def best_precision(self, start: Tensor) -> Tensor:
        """The delta that makes `value` largest, 0-d: delta ||w||^2 = sum lambda / (lambda + delta) (MacKay 1992).

        Within PRECISIONS; `start` is where the fixed point begins.
        """
        low, high = PRECISIONS
        precision = start
        for _ in range(STEPS):
            determined = (self.eigenvalues / (self.eigenvalues + precision)).sum()  # how many weights the data fix
            # The plain map, determined / squares, swings between two values where data fix few weights; half of its
            # step in the logarithm is a contraction everywhere.
            precision = (precision * determined / self.squares).sqrt().clamp(low, high)
        return precision


def averaged_outputs(network: Callable[[Tensor], Tensor], copies: Tensor) -> Tensor:
    """(m, S, *shape) -> (m, C): outputs before the softmax, averaged over copies."""
    return network(copies.flatten(0, 1)).view(*copies.shape[:2], -1).mean(1)


def prior_squares(network: nn.Module) -> Tensor:
    """||w||^2 of the weights that the prior is on, 0-d, with its graph."""
    layers = curved_layers(network).values()
    weights = [weight for layer in layers for weight in (layer.weight, layer.bias) if weight is not None]
    return torch.stack([weight.square().sum() for weight in weights]).sum()


def evidence(network: nn.Module, copies: Tensor, labels: Tensor, examples: int, probes: Tensor) -> Evidence:
    """Of a block of examples drawn from n.

    Args:
        network: f; gradients are for the copies.
        copies: (m, S, *shape) augmented inputs of the block; gradients flow to them.
        labels: (m,) class indices.
        examples: n.
        probes: (D, m, C), see `kronecker_factors`.

    Raises:
        NotFiniteError: the network has diverged.
    """
    outputs, factors = kronecker_factors(network, copies, probes)
    try:
        eigenvalues = torch.cat([one.eigenvalues().flatten() for one in factors])
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise NotFiniteError(f"the network's curvature has no eigenvalues: {error}") from error
    fit = -nn.functional.cross_entropy(outputs, labels)
    return Evidence(fit, prior_squares(network).detach(), examples * eigenvalues, examples)
