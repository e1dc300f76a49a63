"""Laplace's estimate of a classifier's log marginal likelihood, differentiable in what its inputs went through.

    log q(D | eta, delta) = log p(D | w) - delta/2 ||w||^2 - 1/2 log det(I + H / delta),   H = sum_i J_i^T L_i L_i^T J_i

with f_i = mean_s f(g_s x_i; w) the outputs averaged over S augmented copies (van der Ouderaa & van der Wilk 2021; LILA,
Immer et al. 2022), J_i = df_i/dw, and L_i L_i^T = diag(p_i) - p_i p_i^T the curvature of the cross-entropy. The
determinant is taken in the space of outputs, det(I + L^T J J^T L / delta), on a few examples, and scaled to all of
them: by Fischer's inequality the blocks' sum is no less than the whole, so the estimate is a lower bound in expectation
(Immer et al. 2023). Nothing is approximated within a block: no Kronecker factors, no last layer alone.

Axes: m examples of a block, S copies, C outputs, P weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap


def averaged_outputs(network: nn.Module, weights: Mapping[str, Tensor], copies: Tensor) -> Tensor:
    """(m, S, *shape) -> (m, C): outputs before the softmax, averaged over copies."""
    outputs: Tensor = functional_call(network, dict(weights), (copies.flatten(0, 1),))
    return outputs.view(*copies.shape[:2], -1).mean(1)


def output_kernel(network: nn.Module, weights: Mapping[str, Tensor], copies: Tensor) -> Tensor:
    """J J^T (m C, m C) of the averaged outputs, differentiable in the copies and in the weights."""
    def single(inner: Mapping[str, Tensor], one: Tensor) -> Tensor:
        return averaged_outputs(network, inner, one.unsqueeze(0)).squeeze(0)

    jacobians = vmap(jacrev(single), (None, 0))(dict(weights), copies)
    rows = [jacobian.flatten(2).flatten(0, 1) for jacobian in jacobians.values()]  # each (m C, P_l)
    kernel: Tensor = torch.stack([row @ row.mT for row in rows]).sum(0)
    return kernel


def curvature_root(outputs: Tensor) -> Tensor:
    """L (m, C, C) with L L^T = diag(p) - p p^T: D (I - d d^T), D = diag(d), d = sqrt(p)."""
    root = (0.5 * outputs.log_softmax(-1)).exp()
    eye = torch.eye(outputs.shape[-1], dtype=outputs.dtype, device=outputs.device)
    return root.unsqueeze(-1) * (eye - root.unsqueeze(-1) * root.unsqueeze(-2))


def block_log_det(kernel: Tensor, root: Tensor, precision: Tensor) -> Tensor:
    """log det(I + L^T K L / delta), 0-d.

    Args:
        kernel: K (m C, m C).
        root: L (m, C, C), one block for each example.
        precision: delta > 0, 0-d.
    """
    count, outputs = root.shape[:2]
    blocks = kernel.view(count, outputs, count, outputs)
    weighted = torch.einsum("iab,iajc,jcd->ibjd", root, blocks, root).reshape(count * outputs, -1)
    eye = torch.eye(count * outputs, dtype=kernel.dtype, device=kernel.device)
    factor = torch.linalg.cholesky(eye + (weighted + weighted.mT) / (2 * precision))
    volume: Tensor = 2 * factor.diagonal().log().sum()
    return volume


def log_marginal_likelihood(
    network: nn.Module, copies: Tensor, labels: Tensor, examples: int, precision: Tensor
) -> Tensor:
    """The estimate per example, 0-d, to be made large.

    Args:
        network: f; its weights are held fixed.
        copies: (m, S, *shape) augmented inputs of a block; gradients flow to them.
        labels: (m,) class indices.
        examples: n, of which the block is a draw.
        precision: delta > 0 of the Gaussian prior on the weights, 0-d; gradients flow to it.
    """
    weights = {name: value.detach() for name, value in network.named_parameters()}
    outputs = averaged_outputs(network, weights, copies)
    fit = -nn.functional.cross_entropy(outputs, labels)
    squares = torch.stack([value.square().sum() for value in weights.values()]).sum()
    volume = block_log_det(output_kernel(network, weights, copies), curvature_root(outputs), precision)
    return fit - precision * squares / (2 * examples) - volume / (2 * len(labels))
