"""AugNet's layer against an operation-by-operation reference, and its laws."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from spaces.transforms import apply
from trainables.modules.augmentation import Compose, InvariantModel, Reward, range_reward
from trainables.modules.augmentation.published import LIMITS, AugNetLayer


def images(size: int = 4) -> Tensor:
    x = torch.rand(size, 2, 3, 4, generator=Generator().manual_seed(0), dtype=torch.float64)
    return torch.nn.functional.interpolate(x, size=(9, 12), mode="bilinear")


def layer(ranges: float = 0.3, seed: int = 0) -> AugNetLayer:
    made = AugNetLayer(start=ranges).double()
    with torch.no_grad():  # weights that are neither equal nor one-hot
        logits = torch.randn(5, generator=Generator().manual_seed(seed), dtype=torch.float64)
        made.logits.copy_(0.01 * logits)
    return made


def test_equals_the_mixture_of_single_operations() -> None:
    made, x = layer(), images()
    noise = made.sample(len(x), Generator().manual_seed(1)).double()
    expected = torch.zeros_like(x)
    for k, (operation, limit) in enumerate(LIMITS.items()):
        expected += made.gates[k] * apply(operation, x, (2 * noise[:, k] - 1) * made.shares[k], limit)
    torch.testing.assert_close(made(x, noise), expected, rtol=1e-6, atol=1e-6)  # limits are float32


def test_all_operations_are_one_warp() -> None:
    class Count(TorchDispatchMode):
        calls = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.calls += "grid_sampler" in str(func)
            return func(*args, **(kwargs or {}))

    made, x = layer(), images()
    with Count() as count:
        made(x, made.sample(len(x), Generator()).double())
    assert count.calls == 1


def test_range_zero_is_the_identity() -> None:
    made, x = layer(1e-9), images()
    noise = made.sample(len(x), Generator().manual_seed(1)).double()
    torch.testing.assert_close(made(x, noise), x, rtol=0, atol=1e-6)


def test_each_image_has_its_own_strength() -> None:
    made, x = layer(), images()
    noise = made.sample(len(x), Generator().manual_seed(1)).double()
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(made(x[order], noise[order]), made(x, noise)[order])


def test_gradients_are_finite_differences() -> None:
    made, x = layer(), images()
    noise = made.sample(len(x), Generator().manual_seed(1)).double()

    def value() -> Tensor:
        return made(x, noise).square().sum() + range_reward(made, Reward.WEIGHTED_NORM) + made.decay()

    parameters = tuple(made.parameters())
    assert len(parameters) == 2
    for parameter, gradient in zip(parameters, torch.autograd.grad(value(), parameters), strict=True):
        for k in range(5):
            with torch.no_grad():
                parameter[k] += 1e-7
                above = value()
                parameter[k] -= 2e-7
                numeric = (above - value()) / 2e-7
                parameter[k] += 1e-7
            torch.testing.assert_close(gradient[k], numeric, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("ranges", [0.01, 0.125, 0.99])
def test_no_range_has_a_dead_gradient(ranges: float) -> None:
    """The published clamp has none beyond its bounds."""
    made, x = layer(ranges), images()
    noise = made.sample(len(x), Generator().manual_seed(1)).double()
    for gradient in torch.autograd.grad(made(x, noise).square().sum(), tuple(made.parameters())):
        assert bool(gradient.isfinite().all())
        assert bool((gradient != 0).all())


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_stacks_under_copies_equal_a_loop(depth: int) -> None:
    """h(x) = 1/C sum_c log softmax f(a_L o ... o a_1 (x; eps_c)), then normalised: C = 4, one layer after the other."""
    layers, x = [layer(seed=k) for k in range(depth)], images()
    trunk = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2 * 9 * 12, 3)).double()
    model = InvariantModel(trunk, Compose(*layers), 4, 4)
    noise = model.sample(len(x), Generator().manual_seed(1)).double()
    logs = []
    for one in noise:
        moved = x
        for made, own in zip(layers, one.split(10, -1), strict=True):
            moved = made(moved, own)
        logs.append(trunk(moved).log_softmax(-1))
    mean = torch.stack(logs).mean(0)
    torch.testing.assert_close(model(x, noise), mean - mean.logsumexp(-1, keepdim=True))
    assert not torch.allclose(model(x, noise), logs[0]), "negative control: one copy is not four"


def test_reward_and_penalty_have_their_known_values() -> None:
    made = AugNetLayer(start=0.125)
    # Equal weights: || 1/8 * 1/5 * (1, ..., 1) || = sqrt(5) / 40; one operation chosen: 1/8.
    assert range_reward(made, Reward.WEIGHTED_NORM).item() == pytest.approx(5**0.5 / 40)
    assert made.decay().item() == pytest.approx(0.5 * 5 / 64 + 0.5 * 5)
    with torch.no_grad():
        made.logits[2] += 1
    assert range_reward(made, Reward.WEIGHTED_NORM).item() == pytest.approx(0.125)


def test_policy_has_the_learned_numbers() -> None:
    made = layer()
    entries = made.policy().entries
    assert [entry.weight for entry in entries] == pytest.approx(made.gates.tolist())
    assert [entry.magnitude for entry in entries] == pytest.approx([0.3] * 5)
    assert {entry.operation: entry.limit for entry in entries} == LIMITS
