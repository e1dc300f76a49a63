"""The Laplace estimate against explicit curvature matrices, its bound, and its gradient in the augmentation."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call

from trainables.modules.augmentation import LearnedAffine
from trainables.modules.marginal_likelihood import (
    averaged_outputs,
    block_log_det,
    curvature_root,
    log_marginal_likelihood,
    output_kernel,
)

M, S, C = 4, 3, 3


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 4), nn.Tanh(), nn.Linear(4, C)).double()


def copies(count: int = M) -> Tensor:
    return torch.rand(count, S, 1, 6, 6, generator=Generator().manual_seed(1), dtype=torch.float64)


def weights_of(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in net.named_parameters()}


def explicit_curvature(net: nn.Module, x: Tensor) -> Tensor:
    """sum_i J_i^T (diag p - p p^T) J_i (P, P), one row of one Jacobian at a time."""
    parameters = list(net.parameters())
    total = torch.zeros(sum(p.numel() for p in parameters),) * 0
    hessian = torch.zeros(len(total), len(total), dtype=torch.float64)
    for one in x:
        outputs = net(one).mean(0)
        rows = [torch.cat([g.flatten() for g in torch.autograd.grad(outputs[c], parameters, retain_graph=True)])
                for c in range(C)]
        jacobian, p = torch.stack(rows), outputs.softmax(-1).detach()
        hessian += jacobian.T @ (p.diag() - p[:, None] * p) @ jacobian
    return hessian


def test_the_determinant_is_that_of_the_whole_curvature_matrix() -> None:
    net, x, precision = network(), copies(), torch.tensor(0.3, dtype=torch.float64)
    hessian = explicit_curvature(net, x)
    expected = torch.logdet(torch.eye(len(hessian), dtype=torch.float64) + hessian / precision)
    root = curvature_root(averaged_outputs(net, weights_of(net), x))
    torch.testing.assert_close(block_log_det(output_kernel(net, weights_of(net), x), root, precision), expected)


def test_the_root_is_the_curvature_of_the_cross_entropy() -> None:
    outputs = torch.randn(M, C, generator=Generator().manual_seed(0), dtype=torch.float64)
    root = curvature_root(outputs)
    for one, found in zip(outputs, root @ root.mT, strict=True):
        loss = lambda f: nn.functional.cross_entropy(f[None], torch.tensor([1]))  # noqa: E731
        torch.testing.assert_close(found, torch.autograd.functional.hessian(loss, one))


def test_blocks_bound_the_whole_from_above() -> None:
    """Fischer: the sum over blocks is no less, and equal only where blocks do not interact."""
    net, x, precision = network(), copies(), torch.tensor(0.1, dtype=torch.float64)

    def volume(part: Tensor) -> float:
        root = curvature_root(averaged_outputs(net, weights_of(net), part))
        return float(block_log_det(output_kernel(net, weights_of(net), part), root, precision))

    assert volume(x[:2]) + volume(x[2:]) > volume(x) > max(volume(x[:2]), volume(x[2:]))


def test_the_estimate_is_laplaces_formula() -> None:
    net, x = network(), copies()
    labels, precision = torch.tensor([0, 1, 2, 0]), torch.tensor(0.2, dtype=torch.float64)
    found = log_marginal_likelihood(net, x, labels, M, precision)
    fit = -sum(float(nn.functional.cross_entropy(net(one).mean(0)[None], label[None]).detach())
               for one, label in zip(x, labels, strict=True))
    squares = float(torch.stack([p.square().sum() for p in net.parameters()]).sum().detach())
    hessian = explicit_curvature(net, x)
    whole = hessian + precision * torch.eye(len(hessian), dtype=torch.float64)
    by_hand = fit - 0.1 * squares + 0.5 * len(hessian) * float(precision.log()) - 0.5 * float(torch.logdet(whole))
    torch.testing.assert_close(float(found.detach()), by_hand / M)


def test_its_gradient_in_the_ranges_and_the_precision_is_the_finite_difference() -> None:
    net, layer = network(), LearnedAffine(start=0.3).double()
    x = torch.rand(M, 1, 6, 6, generator=Generator().manual_seed(2), dtype=torch.float64)
    eps, labels = layer.sample(M * S, Generator().manual_seed(3)).double(), torch.tensor([0, 1, 2, 0])

    def value(logits: Tensor, log_precision: Tensor) -> Tensor:
        many = x.repeat_interleave(S, 0)
        moved = functional_call(layer, {"ranges.logits": logits}, (many, eps)).view(M, S, 1, 6, 6)
        return log_marginal_likelihood(net, moved, labels, 100, log_precision.exp())

    at = (layer.ranges.logits.detach().clone().requires_grad_(),
          torch.tensor(-1.0, dtype=torch.float64, requires_grad=True))
    assert torch.autograd.gradcheck(value, at, eps=1e-7, atol=1e-5, rtol=1e-3)


def likelihood(seen: Tensor, labels: Tensor) -> float:
    """After training through the copies (n, S, 1, 6, 6)."""
    net, precision = network(), torch.tensor(0.1, dtype=torch.float64)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.05)
    for _ in range(150):
        squares = torch.stack([p.square().sum() for p in net.parameters()]).sum()
        loss = nn.functional.cross_entropy(averaged_outputs(net, dict(net.named_parameters()), seen), labels)
        optimiser.zero_grad()
        (loss + precision * squares / (2 * len(labels))).backward()
        optimiser.step()
    return float(log_marginal_likelihood(net, seen, labels, len(labels), precision).detach())


def test_an_invariance_that_the_labels_have_makes_them_likelier() -> None:
    """Where brightness is the label, averaging over shifts only takes noise away; where its place is, it takes all."""
    labels = torch.arange(24) % 2
    noise = torch.rand(24, 1, 6, 6, generator=Generator().manual_seed(0), dtype=torch.float64)
    lit, left = noise.clone(), noise.clone()
    lit[labels == 1] += 0.4
    left[labels == 0, ..., :3] += 0.4
    left[labels == 1, ..., 3:] += 0.4
    gains = []
    for x in (lit, left):
        shifts = torch.stack([x.roll(k, -1) for k in range(6)], 1)
        gains.append(likelihood(shifts, labels) - likelihood(x.unsqueeze(1).expand_as(shifts), labels))
    assert gains[0] > 0 > gains[1], gains
