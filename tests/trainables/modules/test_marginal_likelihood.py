"""The Laplace estimate against its formula, its gradient in the augmentation, and what it prefers."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call

from tracking.record import NotFiniteError
from trainables.modules.augmentation import LearnedAffine
from trainables.modules.kronecker import kronecker_factors
from trainables.modules.marginal_likelihood import PRECISIONS, Evidence, averaged_outputs, evidence, prior_squares

M, S, C = 4, 3, 3
LABELS = torch.tensor([0, 1, 2, 0])


def network(norm: bool = True) -> nn.Module:
    torch.manual_seed(0)
    middle = nn.LayerNorm(4) if norm else nn.Identity()
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 4), middle, nn.Tanh(), nn.Linear(4, C)).double()


def images(count: int = M, seed: int = 1) -> Tensor:
    return torch.rand(count, S, 1, 6, 6, generator=Generator().manual_seed(seed), dtype=torch.float64)


def probes(examples: int = M) -> Tensor:
    """One for each output: no noise."""
    return C**0.5 * torch.eye(C, dtype=torch.float64).unsqueeze(1).expand(C, examples, C)


def test_the_estimate_is_laplaces_formula() -> None:
    """With the explicit matrix kron(A, G) of each layer, and ten times as many examples as the block has."""
    net, x, precision = network(), images(), torch.tensor(0.2, dtype=torch.float64)
    found = evidence(net, x, LABELS, 10 * M, probes())
    fit = -sum(float(nn.functional.cross_entropy(net(one).mean(0)[None], label[None]).detach())
               for one, label in zip(x, LABELS, strict=True)) / M
    weights = [*net[1].parameters(), *net[4].parameters()]  # type: ignore[index]
    squares = sum(float(weight.detach().square().sum()) for weight in weights)
    log_det = 0.0
    for one in kronecker_factors(net, x, probes())[1]:
        curvature = 10 * M * torch.kron(one.inputs, one.gradients)
        whole = torch.eye(len(curvature), dtype=torch.float64) + curvature.detach() / precision
        log_det += float(torch.logdet(whole))
    by_hand = fit - (0.2 * squares + log_det) / (2 * 10 * M)
    torch.testing.assert_close(float(found.value(precision).detach()), by_hand)
    assert float(prior_squares(net).detach()) == pytest.approx(squares)


def test_its_gradient_in_the_ranges_is_the_finite_difference() -> None:
    net, layer = network(), LearnedAffine(start=0.3).double()
    x = images()[:, 0]
    eps = layer.sample(M * S, Generator().manual_seed(3)).double()

    def value(logits: Tensor) -> Tensor:
        many = x.repeat_interleave(S, 0)
        moved = functional_call(layer, {"ranges.logits": logits}, (many, eps)).view(M, S, 1, 6, 6)
        return evidence(net, moved, LABELS, 100, probes()).value(torch.tensor(0.4, dtype=torch.float64))

    at = layer.ranges.logits.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(value, at, eps=1e-7, atol=1e-5, rtol=1e-3)


def test_the_precision_is_where_the_estimate_is_largest() -> None:
    found = evidence(network(), images(), LABELS, 100, probes())
    best = found.best_precision(torch.tensor(1.0, dtype=torch.float64))
    at = float(found.value(best).detach())
    for factor in (0.5, 0.8, 0.95, 1.05, 1.25, 2.0):
        assert float(found.value(best * factor).detach()) < at
    again = found.best_precision(torch.tensor(50.0, dtype=torch.float64))
    torch.testing.assert_close(again, best, rtol=1e-3, atol=0.0)


@pytest.mark.parametrize("start", [0.01, 0.5, 10.0, 100.0])
def test_the_precision_is_found_where_data_fix_few_weights(start: float) -> None:
    """A thousand weights, each fixed by a thousandth: sum lambda / (lambda + delta) = delta at .9995."""
    few = Evidence(torch.tensor(0.0), torch.tensor(1.0), torch.full((1000,), 1e-3), 100)
    assert float(few.best_precision(torch.tensor(start))) == pytest.approx(0.9995, rel=1e-3)


def test_a_network_that_has_diverged_is_told_as_such() -> None:
    with pytest.raises(NotFiniteError):
        evidence(network(), images() * float("nan"), LABELS, 100, probes())


def test_a_reparametrised_weight_counts_as_it_is_used() -> None:
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, C))
    weight = float(layer.weight.detach().square().sum() + layer.bias.detach().square().sum())
    assert float(prior_squares(nn.Sequential(layer)).detach()) == pytest.approx(weight)


def test_the_precision_stays_within_bounds_where_nothing_fixes_a_weight() -> None:
    nothing = Evidence(torch.tensor(0.0), torch.tensor(1.0), torch.zeros(3), 10)
    everything = Evidence(torch.tensor(0.0), torch.tensor(1e-12), torch.ones(3) * 1e9, 10)
    found = [float(one.best_precision(torch.tensor(1.0))) for one in (nothing, everything)]
    assert found == [pytest.approx(bound) for bound in PRECISIONS]


def likelihood(seen: Tensor, labels: Tensor) -> float:
    """After training through the copies (n, S, 1, 6, 6)."""
    net, precision = network(norm=False), torch.tensor(0.1, dtype=torch.float64)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.05)
    for _ in range(150):
        loss = nn.functional.cross_entropy(averaged_outputs(net, seen), labels)
        optimiser.zero_grad()
        (loss + precision * prior_squares(net) / (2 * len(labels))).backward()
        optimiser.step()
    return float(evidence(net, seen, labels, len(labels), probes(len(labels))).value(precision).detach())


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
