"""FLOPs: known answers, torch's own counter as the reference, and a list of what has no formula."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from tracking.flops import FlopCounter

B, C, H, W = 4, 3, 8, 8


def tensor(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(0))


def counted(body: Callable[[], Any]) -> FlopCounter:
    counter = FlopCounter()
    with counter:
        body()
    return counter


def flops(body: Callable[[], Any]) -> int:
    counter = counted(body)
    assert counter.uncounted == {}
    return counter.flops


X = tensor(B, C, H, W)
ELEMENTS = B * C * H * W


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (lambda: F.linear(tensor(5, 7), tensor(11, 7), tensor(11)), 2 * 5 * 7 * 11),
        (lambda: F.conv2d(X, tensor(6, C, 3, 3), padding=1), 2 * B * 6 * H * W * C * 9),
        (lambda: F.conv2d(tensor(B, 4, H, W), tensor(6, 2, 3, 3), padding=1, groups=2), 2 * B * 6 * H * W * 2 * 9),
        (lambda: X * 2 + X, 2 * ELEMENTS),
        (lambda: X.clone().mul_(2.0), ELEMENTS),
        (lambda: torch._foreach_mul([X, X[0]], 2.0), ELEMENTS + ELEMENTS // B),
        (lambda: torch._foreach_add_([X.clone()], [X]), ELEMENTS),
        (lambda: X.sum((1, 2)), ELEMENTS),
        (lambda: X.permute(0, 2, 3, 1).contiguous().view(-1)[:10].flip(0), 0),
        (lambda: torch.rand(5, generator=Generator()), 0),
        (lambda: X.softmax(1), 5 * ELEMENTS),
        (lambda: F.group_norm(X, 3), 8 * ELEMENTS),
        (lambda: F.batch_norm(X, torch.zeros(C), torch.ones(C)), 4 * ELEMENTS),
        (lambda: F.batch_norm(X, None, None, training=True), 8 * ELEMENTS),
        (lambda: F.avg_pool2d(X, 2), ELEMENTS),
        (lambda: F.max_pool2d(X, 2), ELEMENTS),
        (lambda: F.grid_sample(X, tensor(B, H, W, 2), align_corners=False), B * H * W * (14 + 7 * C)),
        (lambda: torch.fft.fft2(X.to(torch.complex64)), 5 * ELEMENTS * math.log2(H * W)),
        (lambda: torch.fft.rfft2(X), 2.5 * ELEMENTS * math.log2(H * W)),
        (lambda: torch.linalg.solve(tensor(B, 6, 6), tensor(B, 6, 2)), B * (2 / 3 * 6**3 + 2 * 6**2 * 2)),
        (lambda: torch.linalg.inv(tensor(B, 6, 6)), B * 2 * 6**3),
        (lambda: torch.zeros(5).index_add_(0, torch.tensor([1, 1, 2]), tensor(3)), 3),
    ],
)
def test_known_answers(body: Callable[[], Any], expected: float) -> None:
    assert flops(body) == round(expected)


def test_inference_mode_counts_the_same() -> None:
    """There composite operations arrive whole."""
    network = small_network().eval()
    with torch.inference_mode():
        inside = flops(lambda: network(X))
    with torch.no_grad():
        assert flops(lambda: network(X)) == inside


def small_network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(C, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 5),
    )


def test_products_agree_with_torchs_counter() -> None:
    """Only products: torch's counter knows nothing else. Backward passes included."""
    weights = [tensor(8, C, 3, 3).requires_grad_(), tensor(5, 8 * H * W).requires_grad_()]

    def body() -> None:
        hidden = F.conv2d(X, weights[0], padding=1).flatten(1)
        torch.autograd.grad(F.linear(hidden, weights[1]), weights, tensor(B, 5))

    with FlopCounterMode(display=False) as reference:
        body()
    assert flops(body) == reference.get_total_flops() > 0


def test_backward_of_a_grouped_convolution_costs_twice_the_forward() -> None:
    x, weight = tensor(B, 4, H, W).requires_grad_(), tensor(6, 2, 3, 3).requires_grad_()
    forward = 2 * B * 6 * H * W * 2 * 9
    out = F.conv2d(x, weight, padding=1, groups=2)
    assert flops(lambda: torch.autograd.grad(out, (x, weight), torch.ones_like(out))) == 2 * forward


@pytest.mark.parametrize(("wanted", "per_channel"), [((0, 1), 8 + 20), ((0,), 8), ((1,), 20)])
def test_backward_of_grid_sampling_known_answer(wanted: tuple[int, ...], per_channel: int) -> None:
    """Bilinear, four neighbours: a product and a scattered sum each for the image; for the grid value times gradient,
    and a product and a sum for either coordinate.
    """
    inputs = X.clone().requires_grad_(0 in wanted), tensor(B, H, W, 2).requires_grad_(1 in wanted)
    out = F.grid_sample(*inputs, align_corners=False)
    asked = [inputs[place] for place in wanted]
    found = flops(lambda: torch.autograd.grad(out, asked, torch.ones_like(out)))
    assert found - flops(lambda: torch.ones_like(out)) == B * H * W * (14 + per_channel * C)


def test_double_backward_known_answer() -> None:
    """y = x W' : grad_W = g' x (1 product); for fixed x and g its backward against a vector V is g^ = x V' (1)."""
    x, weight, gradient = tensor(5, 7), tensor(3, 7).requires_grad_(), tensor(5, 3).requires_grad_()
    product = 2 * 5 * 7 * 3

    def body() -> None:
        (first,) = torch.autograd.grad(x @ weight.T, weight, gradient, create_graph=True)  # 2 products
        torch.autograd.grad(first, gradient, tensor(3, 7))                                 # 1 product

    assert flops(body) == 3 * product


def test_hypergradients_of_a_network_leave_nothing_uncounted() -> None:
    network = small_network().eval()
    parameters: dict[str, Tensor] = dict(network.named_parameters())

    def body() -> None:
        loss = F.cross_entropy(functional_call(network, parameters, (X,)), torch.zeros(B, dtype=torch.long))
        first = torch.autograd.grad(loss, list(parameters.values()), create_graph=True)
        norm = torch.stack([(g * g).sum() for g in first]).sum()
        torch.autograd.grad(norm, list(parameters.values()), allow_unused=True)

    forward = flops(lambda: network(X))
    assert flops(body) > 4 * forward


def test_per_example_gradients_cost_about_the_batch_gradient() -> None:
    """Regression: grouped convolutions (which vmap makes) must not be counted `groups` times."""
    network = small_network().eval()
    parameters = {name: value.detach() for name, value in network.named_parameters()}
    y = torch.zeros(B, dtype=torch.long)

    def loss(values: dict[str, Tensor], x: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(network, values, (x[None],)), target[None])

    per_example = flops(lambda: vmap(grad(loss), in_dims=(None, 0, 0))(parameters, X, y))
    whole = flops(lambda: torch.autograd.grad(F.cross_entropy(network(X), y), list(network.parameters())))
    assert whole * 0.8 < per_example < whole * 1.5


@pytest.mark.parametrize("optimiser", [torch.optim.SGD, torch.optim.Adam])
@pytest.mark.parametrize("settings", [{"weight_decay": 1e-4}, {}])
def test_forms_of_an_optimiser_cost_the_same(optimiser: Any, settings: dict[str, Any]) -> None:
    """One by one, as lists, fused: the same update. Adam's step counters are scalars, hence the tolerance."""
    momentum = {"momentum": 0.9} if optimiser is torch.optim.SGD else {}

    def cost(**form: bool) -> int:
        parameters = [tensor(100, 50).requires_grad_(), tensor(500).requires_grad_()]
        stepper = optimiser(parameters, lr=0.1, **momentum, **settings, **form)
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        stepper.step()  # the first step makes the buffers
        return flops(stepper.step)

    one_by_one = cost(foreach=False)
    assert cost(foreach=True) == pytest.approx(one_by_one, rel=0.005)
    assert cost(fused=True) == pytest.approx(one_by_one, rel=0.005)


@torch.library.custom_op("invsearch_tests::odd", mutates_args=())
def odd(x: Tensor) -> Tensor:
    return x + 1


def test_an_unknown_operation_is_listed_and_not_guessed() -> None:
    counter = counted(lambda: [odd(X), odd(X), X + 1])
    assert dict(counter.uncounted) == {"invsearch_tests.odd": 2}
    assert counter.flops == ELEMENTS


def test_results_and_global_state_are_untouched() -> None:
    """Same numbers, same random streams, no mode left behind."""
    states = (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist())  # type: ignore[index] # noqa: NPY002

    def body() -> Tensor:
        torch.manual_seed(0)
        network = small_network()
        gradients = torch.autograd.grad(network(X).square().sum(), list(network.parameters()))
        return torch.cat([g.flatten() for g in gradients])

    plain = body()
    with FlopCounter():
        under = body()
    torch.set_rng_state(states[0])
    assert torch.equal(plain, under)
    assert torch._C._len_torch_dispatch_stack() == 0
    assert random.getstate() == states[1]
    assert np.random.get_state()[1].tolist() == states[2]  # type: ignore[index] # noqa: NPY002


def test_the_compiler_is_not_imported_to_count() -> None:
    """It takes seconds, which would be charged to the first slice."""
    import subprocess
    import sys
    from pathlib import Path

    code = ("import sys, torch; from tracking.flops import FlopCounter\nwith FlopCounter(): torch.ones(2) * 2\n"
            "sys.exit('torch._dynamo' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).resolve().parents[2]).returncode == 0
