"""Kronecker factors against explicit curvature matrices where they are exact, and against loops where they are not."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Generator, Tensor, nn

from tracking.errors import UserError
from trainables.modules.kronecker import curvature_root, curved_layers, kronecker_factors, signs

C = 3


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed), dtype=torch.float64)


def made(*layers: nn.Module) -> nn.Sequential:
    network = nn.Sequential(*layers).double()
    with torch.no_grad():
        for place, weight in enumerate(network.parameters()):
            weight.copy_(0.5 * drawn(*weight.shape, seed=place + 10))
    return network


def every_output(examples: int) -> Tensor:
    """(C, m, C): a probe for each output, whose mean is exactly the sum over outputs."""
    return C**0.5 * torch.eye(C, dtype=torch.float64).unsqueeze(1).expand(C, examples, C)


def explicit(network: nn.Module, x: Tensor, weights: list[nn.Parameter]) -> Tensor:
    """Mean over examples (m, S, ...) of J^T (diag p - p p^T) J for these weights, a row of a Jacobian at a time."""
    total = torch.zeros(())
    for one in x:
        outputs = network(one).mean(0)
        rows = [torch.cat([g.flatten(1) if g.ndim > 1 else g[:, None] for g in torch.autograd.grad(
            outputs[c], weights, retain_graph=True)], 1).flatten() for c in range(C)]
        p, jacobian = outputs.softmax(-1).detach(), torch.stack(rows)
        total = total + jacobian.T @ (p.diag() - p[:, None] * p) @ jacobian / len(x)
    return total


def close(found: Tensor, matrix: Tensor) -> None:
    """The same spectrum."""
    torch.testing.assert_close(found.flatten().sort().values, torch.linalg.eigvalsh(matrix), rtol=1e-8, atol=1e-10)


def test_the_root_is_the_curvature_of_the_cross_entropy() -> None:
    outputs = drawn(4, C)
    root = curvature_root(outputs)
    for one, found in zip(outputs, root @ root.mT, strict=True):
        loss = lambda f: nn.functional.cross_entropy(f[None], torch.tensor([1]))  # noqa: E731
        torch.testing.assert_close(found, torch.autograd.functional.hessian(loss, one))


def test_one_example_has_exactly_the_curvature_of_every_layer() -> None:
    """A kernel as large as its image has a single position."""
    network = made(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Tanh(), nn.Linear(4, 5, bias=False), nn.Tanh(), nn.Linear(5, C))
    x = drawn(1, 1, 2, 3, 3)
    _, factors = kronecker_factors(network, x, every_output(1))
    for found, layer in zip(factors, curved_layers(network).values(), strict=True):
        close(found.eigenvalues(), explicit(network, x, list(layer.parameters())))


def test_examples_that_are_alike_have_it_too_and_others_do_not() -> None:
    network = made(nn.Linear(4, C))
    weights = list(network.parameters())
    alike, others = drawn(1, 1, 4).expand(6, 1, 4), drawn(6, 1, 4)
    close(kronecker_factors(network, alike, every_output(6))[1][0].eigenvalues(), explicit(network, alike, weights))
    with pytest.raises(AssertionError):
        close(kronecker_factors(network, others, every_output(6))[1][0].eigenvalues(),
              explicit(network, others, weights))


def test_factors_are_what_loops_over_examples_copies_and_positions_find() -> None:
    layer = nn.Conv2d(2, 4, 3, padding=(2, 1), stride=(2, 1), dilation=(2, 1))
    network = made(layer, nn.Tanh(), nn.Flatten(), nn.Linear(32, C))
    conv, rest = network[0], network[1:]
    x = drawn(3, 2, 2, 4, 4)
    outputs, (found, _) = kronecker_factors(network, x, every_output(3))
    a_mean, g_sum = torch.zeros(19, 19, dtype=torch.float64), torch.zeros(4, 4, dtype=torch.float64)
    for place, image in enumerate(x):
        hidden = [conv(copy[None]) for copy in image]
        mean = torch.stack([rest(h)[0] for h in hidden]).mean(0)
        root = curvature_root(mean[None])[0].detach()
        torch.testing.assert_close(outputs[place], mean)
        for row, column in product(range(2), range(4)):
            windows = [nn.functional.pad(copy, (1, 1, 2, 2))[:, 2 * row:2 * row + 5:2, column:column + 3]
                       for copy in image]
            a = torch.cat([torch.stack(windows).mean(0).flatten(), torch.ones(1)])
            a_mean += torch.outer(a, a) / (3 * 8)
            for c in range(C):
                slopes = torch.autograd.grad((root[:, c] * mean).sum(), hidden, retain_graph=True)
                g = torch.stack([s[0, :, row, column] for s in slopes]).sum(0)
                g_sum += torch.outer(g, g) / 3
    torch.testing.assert_close(found.inputs, a_mean)
    torch.testing.assert_close(found.gradients, g_sum)


def test_signs_stand_for_all_outputs_on_average() -> None:
    """All sign vectors of one example, each as often."""
    network, x = made(nn.Linear(4, C)), drawn(1, 1, 4)
    every = torch.tensor(list(product((-1.0, 1.0), repeat=C)), dtype=torch.float64).unsqueeze(1)
    exact, found = (kronecker_factors(network, x, probes)[1][0].gradients for probes in (every_output(1), every))
    torch.testing.assert_close(found, exact)
    single = kronecker_factors(network, x, every[:1])[1][0].gradients
    assert not torch.allclose(single, exact)
    draw = signs(Generator().manual_seed(0), 5, C, torch.device("cpu"))
    assert draw.shape == (1, 5, C) and set(draw.unique().tolist()) == {-1.0, 1.0}
    assert len(draw[0].unique(dim=0)) > 1, "every example has its own"


def test_copies_of_one_image_are_one_image() -> None:
    network = made(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8, C))
    x = drawn(3, 1, 1, 4, 4)
    once, twice = (kronecker_factors(network, given, every_output(3))[1] for given in (x, x.expand(3, 5, 1, 4, 4)))
    for one, other in zip(once, twice, strict=True):
        torch.testing.assert_close(one.eigenvalues(), other.eigenvalues())


def test_what_happens_in_place_after_a_layer_does_not_matter() -> None:
    x = drawn(3, 2, 4)
    plain, hasty = (made(nn.Linear(4, 6), nn.ReLU(inplace=now), nn.Linear(6, C)) for now in (False, True))
    for one, other in zip(*(kronecker_factors(n, x, every_output(3))[1] for n in (plain, hasty)), strict=True):
        assert torch.equal(one.inputs, other.inputs) and torch.equal(one.gradients, other.gradients)


def test_a_layer_that_is_called_twice_has_the_positions_of_both_calls() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = nn.Linear(4, 2), nn.Linear(4, C)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.cat([self.layer(x[:, :4]), self.layer(x[:, 4:])], 1))  # type: ignore[no-any-return]

    class AsPositions(Twice):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.layer(x.view(-1, 2, 4)).flatten(1))  # type: ignore[no-any-return]

    x = drawn(3, 2, 8)
    calls, positions = (kronecker_factors(made(kind()), x, every_output(3))[1][0] for kind in (Twice, AsPositions))
    torch.testing.assert_close(calls.inputs, positions.inputs)
    torch.testing.assert_close(calls.gradients, positions.gradients)


def test_channels_may_come_last_in_a_linear_layer() -> None:
    """Positions are positions, however many axes they have."""
    class Last(nn.Module):
        def __init__(self, flat: bool) -> None:
            super().__init__()
            self.layer, self.head, self.flat = nn.Linear(2, 4), nn.Linear(4, C), flat

        def forward(self, x: Tensor) -> Tensor:
            given = x.flatten(1, 2) if self.flat else x
            return self.head(self.layer(given).flatten(1, -2).mean(1))  # type: ignore[no-any-return]

    x = drawn(3, 2, 5, 6, 2)
    flat, square = (kronecker_factors(made(Last(way)), x, every_output(3))[1][0] for way in (True, False))
    torch.testing.assert_close(square.inputs, flat.inputs)
    torch.testing.assert_close(square.gradients, flat.gradients)


def test_factors_that_are_mostly_zeros_have_eigenvalues() -> None:
    """A padded kernel on a single pixel: single precision gives up on these."""
    network = nn.Sequential(nn.Conv2d(32, 8, 3, padding=1), nn.Flatten(), nn.Linear(8, C))
    x = torch.rand(48, 2, 32, 1, 1, generator=Generator().manual_seed(0))
    for seed in range(5):
        probe = signs(Generator().manual_seed(seed), 48, C, torch.device("cpu"))
        assert bool(kronecker_factors(network, x, probe)[1][0].eigenvalues().isfinite().all())


def test_gradients_are_not_needed_around_it() -> None:
    network, x = made(nn.Linear(4, C)), drawn(2, 1, 4)
    with torch.no_grad():
        found = kronecker_factors(network, x, every_output(2))[1][0]
    torch.testing.assert_close(found.gradients, kronecker_factors(network, x, every_output(2))[1][0].gradients)


def test_a_layer_that_does_not_reach_the_outputs_has_no_curvature() -> None:
    class Aside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.aside = nn.Linear(4, C), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            self.aside(x)
            return self.used(x)  # type: ignore[no-any-return]

    used, aside = kronecker_factors(made(Aside()), drawn(2, 1, 4), every_output(2))[1]
    assert bool(used.eigenvalues().any()) and not aside.eigenvalues().any()


def test_layers_that_are_not_called_or_see_another_batch_are_refused() -> None:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(4, C), nn.Linear(4, C)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)  # type: ignore[no-any-return]

    class Folded(Unused):
        def forward(self, x: Tensor) -> Tensor:
            return self.used(x.view(-1, 4)).view(len(x), -1, C).mean(1)  # type: ignore[no-any-return]

    with pytest.raises(UserError, match="that the forward pass calls"):
        kronecker_factors(made(Unused()), drawn(2, 1, 4), every_output(2))
    with pytest.raises(UserError, match="first axis"):
        kronecker_factors(made(Folded()), drawn(2, 1, 8), every_output(2))


def test_nothing_stays_on_the_network() -> None:
    network = made(nn.Linear(4, C))
    kronecker_factors(network, drawn(2, 1, 4), every_output(2))
    assert not network[0]._forward_hooks


@pytest.mark.parametrize("layer", [
    nn.Conv2d(2, 2, 3, groups=2), nn.Conv2d(2, 2, 3, padding="same"), nn.ReLU(),
    nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"),
])
def test_what_has_no_factors_is_refused(layer: nn.Module) -> None:
    with pytest.raises(UserError, match="Kronecker factors need"):
        curved_layers(nn.Sequential(layer))
