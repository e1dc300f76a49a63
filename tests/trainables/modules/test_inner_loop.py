"""The inner loop against a plain loop over tasks, and its outer gradient against finite differences."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call

from trainables.modules.inner_loop import InnerLoop
from trainables.modules.networks import small_cnn
from trainables.modules.sharing import FullSharing, SharedLinear, split_parameters
from trainables.modules.sharing_network import Pattern, shared
from trainables.problems.problem import Batch


def squared(outputs: Tensor, y: Tensor) -> Tensor:
    return (outputs - y).square().mean(-1)


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def layer() -> nn.Module:
    return SharedLinear(FullSharing((3, 4), 2, generator(), deviation=0.5), True, generator(1)).double()


def tasks(count: int = 4) -> tuple[Batch, Batch]:
    x = torch.randn(count, 6, 4, generator=generator(2), dtype=torch.float64)
    y = torch.randn(count, 6, 3, generator=generator(3), dtype=torch.float64)
    return Batch(x[:, :2], y[:, :2]), Batch(x[:, 2:], y[:, 2:])


def rates_of(fast: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    return {name: torch.tensor(0.1 * (i + 1), dtype=torch.float64) for i, name in enumerate(fast)}


def by_hand(network: nn.Module, rates: dict[str, Tensor], support: Batch, query: Batch, steps: int) -> Tensor:
    """One task after the other with ordinary modules and in-place SGD: no functional call, no vmap."""
    losses = []
    for sx, sy, qx, qy in zip(*support, *query, strict=True):
        own = copy.deepcopy(network)
        for _ in range(steps):
            fast, _ = split_parameters(own)
            gradients = torch.autograd.grad(squared(own(sx), sy).mean(), list(fast.values()))
            with torch.no_grad():
                for (name, weight), gradient in zip(fast.items(), gradients, strict=True):
                    weight -= rates[name] * gradient
        losses.append(squared(own(qx), qy).mean().detach())
    return torch.stack(losses)


@pytest.mark.parametrize("steps", [1, 3])
def test_all_tasks_at_once_are_one_after_the_other(steps: int) -> None:
    network = layer()
    fast, slow = split_parameters(network)
    loop = InnerLoop(network, squared, steps)
    found = loop.query_losses(fast, slow, rates_of(fast), *tasks())
    assert torch.allclose(found, by_hand(network, rates_of(fast), *tasks(), steps), rtol=1e-12)
    assert not torch.allclose(found, by_hand(network, rates_of(fast), *tasks(), steps + 1), rtol=1e-3)


def test_a_convolutional_network_too() -> None:
    torch.manual_seed(0)
    network = shared(small_cnn((1, 6, 6), 3), Pattern.KRONECKER, 1, 0.1, generator()).double()
    x = torch.rand(3, 6, 1, 6, 6, generator=generator(2), dtype=torch.float64)
    y = torch.randn(3, 6, 3, generator=generator(3), dtype=torch.float64)
    support, query = Batch(x[:, :2], y[:, :2]), Batch(x[:, 2:], y[:, 2:])
    fast, slow = split_parameters(network)
    found = InnerLoop(network, squared, 2).query_losses(fast, slow, rates_of(fast), support, query)
    assert torch.allclose(found, by_hand(network, rates_of(fast), support, query, 2), rtol=1e-9)


@pytest.mark.parametrize("first_order", [False, True])
def test_outer_gradient_against_finite_differences(first_order: bool) -> None:
    """Of U, v, bias and rates. The exact one fits, the first-order one must not (negative control)."""
    network = layer()
    fast, slow = split_parameters(network)
    rates = {name: value.requires_grad_() for name, value in rates_of(fast).items()}
    loop = InnerLoop(network, squared, 2, first_order)
    learned = [*fast.values(), *slow.values(), *rates.values()]

    def outer() -> Tensor:
        return loop.query_losses(fast, slow, rates, *tasks()).mean()

    gradients = torch.autograd.grad(outer(), learned)
    differences = []
    for parameter in learned:
        flat = parameter.detach().view(-1)
        for place in range(len(flat)):
            kept, sides = float(flat[place]), []
            for side in (1e-6, -1e-6):
                flat[place] = kept + side
                sides.append(float(outer().detach()))
            flat[place] = kept
            differences.append((sides[0] - sides[1]) / 2e-6)
    found, expected = torch.cat([g.flatten() for g in gradients]), torch.tensor(differences, dtype=torch.float64)
    close = torch.allclose(found, expected, rtol=1e-5, atol=1e-7)
    assert close is not first_order


def test_first_order_takes_inner_gradients_for_constants() -> None:
    """Against the same two steps written out: gradients of U, v, bias and rates, the last not zero."""
    network = layer()
    fast, slow = split_parameters(network)
    rates = {name: value.requires_grad_() for name, value in rates_of(fast).items()}
    support, query = tasks(1)
    loss = InnerLoop(network, squared, 2, first_order=True).query_losses(fast, slow, rates, support, query).mean()
    learned = [*fast.values(), *slow.values(), *rates.values()]
    found = torch.autograd.grad(loss, learned)
    moved: dict[str, Tensor] = dict(fast)
    for _ in range(2):
        at = {name: value.detach().requires_grad_() for name, value in moved.items()}
        inner = squared(functional_call(network, {**slow, **at}, (support.x[0],)), support.y[0]).mean()
        constants = torch.autograd.grad(inner, list(at.values()))
        moved = {name: moved[name] - rates[name] * g for name, g in zip(at, constants, strict=True)}
    by_hand = squared(functional_call(network, {**slow, **moved}, (query.x[0],)), query.y[0]).mean()
    for one, other in zip(found, torch.autograd.grad(by_hand, learned), strict=True):
        assert torch.allclose(one, other, rtol=1e-9)
    assert all(float(gradient.abs()) > 0 for gradient in found[-2:])


def test_tensors_without_a_rate_stay() -> None:
    network = layer()
    fast, slow = split_parameters(network)
    rates = {name: rate for name, rate in rates_of(fast).items() if name != "bias"}
    moved = InnerLoop(network, squared, 2).weights(fast, slow, rates, tasks()[0])
    assert torch.equal(moved["bias"], fast["bias"].detach().expand(4, -1))
    assert not torch.allclose(moved["filter"], fast["filter"].detach().expand(4, -1))
