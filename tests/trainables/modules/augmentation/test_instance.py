"""Ranges of every input: alike at the start, then as far as each bears."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Generator, Tensor

from tests.trainables.modules.augmentation.layers import inputs
from tracking.errors import UserError
from trainables.contract_toy import toy_context
from trainables.contract_trace import steps
from trainables.methods import instance_ranges
from trainables.modules.augmentation import InstanceRanges, LearnedAffine, LearnedSignal


def layer(start: float = 1 / 8) -> InstanceRanges:
    torch.manual_seed(0)
    return InstanceRanges(LearnedAffine(start=0.999), (3, 9, 12), start).double()


def test_at_the_start_it_is_the_layer_with_that_share() -> None:
    x, shared = inputs("affine"), LearnedAffine(start=0.999 / 8).double()
    eps = shared.sample(len(x), Generator().manual_seed(0)).double()
    torch.testing.assert_close(layer()(x, eps), shared(x, eps), rtol=1e-5, atol=1e-6)


def test_inputs_that_must_not_move_are_given_less() -> None:
    """Bright images pay for every change, dark ones do not: the sum of both under one reward."""
    made, x = layer(), torch.cat((inputs("affine", 16), inputs("affine", 16) - 0.3))
    bright = torch.arange(32) < 16
    optimiser = torch.optim.Adam(made.network.parameters(), lr=0.02)
    g = Generator().manual_seed(0)
    for _ in range(80):
        change = (made(x, made.sample(len(x), g).double()) - x).square().mean((1, 2, 3))
        loss = 30 * (change * bright).mean() - 0.01 * made.entropy(x)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    shares = made.of(x).detach()
    assert float(shares[~bright].mean()) > 2 * float(shares[bright].mean())
    assert all(not parameter.requires_grad for parameter in made.layer.parameters())


def test_the_gradient_is_the_finite_difference() -> None:
    made, x = layer(0.3), inputs("affine")
    eps = made.sample(len(x), Generator().manual_seed(0)).double()
    names = [name for name, parameter in made.named_parameters() if parameter.requires_grad]

    def loss(*values: Tensor) -> Tensor:
        out: Tensor = torch.func.functional_call(made, dict(zip(names, values, strict=True)), (x, eps))
        return out.square().sum()

    values = tuple(dict(made.named_parameters())[name].detach().clone().requires_grad_() for name in names[-2:])
    names = names[-2:]  # the head: every earlier weight reaches the output through it
    assert torch.autograd.gradcheck(loss, values, eps=1e-7, atol=1e-4, rtol=1e-3)


def test_what_was_learned_is_said_of_an_average_input() -> None:
    method = instance_ranges.Config(reward=1.0, augmentation_learning_rate=0.03).build(
        replace(toy_context(), horizon=40, slice_updates=20)
    )
    before = dict(method.describe())
    for _ in steps(method):
        pass
    after = dict(method.describe())
    assert all(after[name] > before[name] for name in before)
    assert set(before) == set(after)


def test_signals_and_bad_starts() -> None:
    x = inputs("signal")
    heard = InstanceRanges(LearnedSignal(32, 32.0, channels=2, start=0.9), (2, 32)).double()
    assert heard(x, heard.sample(len(x), Generator().manual_seed(0)).double()).shape == x.shape
    with pytest.raises(UserError, match="between 0 and 1"):
        InstanceRanges(LearnedAffine(), (3, 9, 12), 1.0)
