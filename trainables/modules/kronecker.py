"""Kronecker factors of a classifier's curvature, differentiable in its inputs (KFAC, Martens & Grosse 2015).

For a layer h = W [a; 1] the generalised Gauss-Newton matrix of the cross-entropy, a mean over examples, is taken as

    H ~ A (x) G,    A = mean over examples and positions of a a^T,
                    G = mean over examples of the sum over positions of g g^T

with g = dh^T L z, L L^T = diag(p) - p p^T the curvature of the cross-entropy in the outputs and z a probe of mean 0 and
covariance 1: E[g g^T] sums over outputs without a pass for each. Convolutions have many positions, whose derivatives
are taken as uncorrelated (KFC, Grosse & Martens 2016). Where outputs are means over augmented copies, a is the mean of
the copies' inputs and g the sum of their gradients (LILA, Immer et al. 2022). Batch statistics would couple examples,
which this knows nothing of, and would move in every call: networks should normalise each example by itself.

Axes: m examples, S copies, C outputs; of a layer T positions, I inputs (with a one for the bias), O outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import unfold

from tracking.errors import UserError


@dataclass(frozen=True, slots=True)
class Factors:
    """Of one layer.

    Args:
        inputs: A (I, I).
        gradients: G (O, O).
    """

    inputs: Tensor
    gradients: Tensor

    def eigenvalues(self) -> Tensor:
        """Of A (x) G, (I, O), not negative.

        In double precision: LAPACK's solver gives up on single ones of low rank, such as those of padded borders.
        """
        a, g = (torch.linalg.eigvalsh(factor.double()).clamp(min=0.0) for factor in (self.inputs, self.gradients))
        return torch.outer(a, g).to(self.inputs.dtype)


@dataclass(slots=True)
class _Seen:
    """What went through a layer: inputs (m, T, I), averaged over copies, and outputs with their graph."""

    inputs: list[Tensor]
    outputs: list[Tensor]


def curved_layers(network: nn.Module) -> dict[str, nn.Linear | nn.Conv2d]:
    """The layers that have factors, by path; what other parameters there are, such as a normalisation's, has none.

    Raises:
        UserError: there is none, or a convolution is grouped, or padded with other things than a number of zeros.
    """
    found: dict[str, nn.Linear | nn.Conv2d] = {
        path: module for path, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)
    }
    if not found:
        raise UserError("Kronecker factors need linear or convolution layers", type(network).__name__)
    for path, module in found.items():
        if isinstance(module, nn.Conv2d) and (
            module.groups != 1 or isinstance(module.padding, str) or module.padding_mode != "zeros"
        ):
            raise UserError("Kronecker factors need convolutions in one group, padded by zeros", f"{path}: {module}")
    return found


def curvature_root(outputs: Tensor) -> Tensor:
    """L (m, C, C) with L L^T = diag(p) - p p^T: D (I - d d^T), D = diag(d), d = sqrt(p)."""
    root = (0.5 * outputs.log_softmax(-1)).exp()
    eye = torch.eye(outputs.shape[-1], dtype=outputs.dtype, device=outputs.device)
    return root.unsqueeze(-1) * (eye - root.unsqueeze(-1) * root.unsqueeze(-2))


def signs(generator: Generator, examples: int, outputs: int, device: torch.device) -> Tensor:
    """One probe (1, m, C) of independent signs."""
    draw = torch.randint(2, (1, examples, outputs), generator=generator)
    return (2.0 * draw - 1.0).to(device)


def kronecker_factors(network: nn.Module, copies: Tensor, probes: Tensor) -> tuple[Tensor, list[Factors]]:
    """Outputs (m, C) averaged over copies, and the factors of every layer in the order of `curved_layers`.

    Args:
        copies: (m, S, *shape); gradients flow to them through outputs and factors.
        probes: z (D, m, C); G is the mean over the D of them.

    Raises:
        UserError: a layer is not called in the forward pass, or with another batch than that of the copies.
    """
    layers = curved_layers(network)
    with torch.enable_grad(), _watched(layers, copies.shape[:2]) as seen:
        outputs = network(copies.flatten(0, 1)).view(*copies.shape[:2], -1).mean(1)
    if unused := [path for path, one in seen.items() if not one.outputs]:
        raise UserError("Kronecker factors need layers that the forward pass calls", ", ".join(unused))
    hidden = [one for path in layers for one in seen[path].outputs]
    sizes = [len(seen[path].outputs) for path in layers]
    moments: list[Tensor | int] = [0] * len(layers)
    for probe in probes:
        direction = (curvature_root(outputs) @ probe.to(outputs).unsqueeze(-1)).squeeze(-1)
        gradients = iter(torch.autograd.grad(
            outputs, hidden, direction, create_graph=True, materialize_grads=True
        ))
        for place, (layer, size) in enumerate(zip(layers.values(), sizes, strict=True)):
            own = torch.cat([_by_position(layer, next(gradients), len(copies)) for _ in range(size)], 1)
            moments[place] = moments[place] + torch.einsum("mto,mtp->op", own, own) / (len(probes) * len(copies))
    inputs = [torch.cat(seen[path].inputs, 1) for path in layers]
    means = [torch.einsum("mti,mtj->ij", a, a) / (a.shape[0] * a.shape[1]) for a in inputs]
    return outputs, [Factors(a, g) for a, g in zip(means, moments, strict=True) if isinstance(g, Tensor)]


@contextmanager
def _watched(layers: dict[str, nn.Linear | nn.Conv2d], batch: torch.Size) -> Iterator[dict[str, _Seen]]:
    """Notes what passes; a layer that is called twice has the positions of both calls."""
    seen = {path: _Seen([], []) for path in layers}

    def note(path: str, layer: nn.Linear | nn.Conv2d, given: Sequence[Tensor], outputs: Tensor) -> Tensor:
        if len(given[0]) != batch.numel():
            raise UserError(
                "Kronecker factors need the batch as every layer's first axis", f"{path}: {tuple(given[0].shape)}"
            )
        seen[path].inputs.append(_patches(layer, given[0], batch[0]))
        seen[path].outputs.append(outputs)
        return outputs.clone()  # what changes it in place afterwards must not change what was noted

    handles = [
        layer.register_forward_hook(lambda module, given, outputs, path=path: note(path, module, given, outputs))
        for path, layer in layers.items()
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _patches(layer: nn.Linear | nn.Conv2d, x: Tensor, examples: int) -> Tensor:
    """(m S, ...) -> (m, T, I): what each output is a linear function of, with the bias's one, mean over copies."""
    mean = x.reshape(examples, -1, *x.shape[1:]).mean(1)  # first, since all below is linear
    if isinstance(layer, nn.Conv2d):
        assert not isinstance(layer.padding, str)
        columns = unfold(mean, layer.kernel_size, layer.dilation, layer.padding, layer.stride).mT
    else:
        columns = mean.flatten(1, -2) if mean.ndim > 2 else mean.unsqueeze(1)
    return columns if layer.bias is None else torch.cat([columns, torch.ones_like(columns[..., :1])], -1)


def _by_position(layer: nn.Linear | nn.Conv2d, gradient: Tensor, examples: int) -> Tensor:
    """(m S, O, height, width) or (m S, ..., O) -> (m, T, O), the sum over copies: outputs are their means."""
    total = gradient.reshape(examples, -1, *gradient.shape[1:]).sum(1)
    if isinstance(layer, nn.Conv2d):
        return total.flatten(2).mT
    return total.flatten(1, -2) if total.ndim > 2 else total.unsqueeze(1)
