"""The shared loop against a bare one; networks; schedules."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from tracking.cost import Phase
from tracking.errors import UserError
from trainables.contract_toy import toy_context
from trainables.method import Context, Role
from trainables.methods.plain import Config
from trainables.modules import networks
from trainables.modules.fast_stem import Precision
from trainables.modules.recipe import Decay, RecipeConfig
from trainables.modules.supervised import Supervised
from trainables.modules.trunk import Schedule, Trunk
from trainables.problems.problem import LEARNABLE, Split

HORIZON = 30


def context(horizon: int = HORIZON) -> Context:
    return replace(toy_context(), horizon=horizon, slice_updates=7, network=networks.builder("small_cnn"))


def test_equals_a_bare_loop_with_torchs_own_schedule() -> None:
    config = Config(batch_size=16, learning_rate=0.2)
    method = Supervised(context(), config)
    while not method.step().done:
        pass
    bare = context()
    network, order = bare.build_network(), bare.generator(Role.ORDER)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.2, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda t: min(1.0, (t + 1) / 1.5) * 0.5 * (1 + math.cos(math.pi * t / HORIZON))
    )
    for _ in range(HORIZON):
        x, y = bare.problem.draw(order, 16, Split.TRAIN, Split.OUTER)
        optimiser.zero_grad()
        cross_entropy(network(x), y).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    for ours, theirs in zip(method.trunk.network.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_learns_the_toy() -> None:
    toy = context(60)
    method = Supervised(toy, Config(batch_size=32))
    while not method.step().done:
        pass
    x, y = toy.problem.draw(toy.generator(Role.SEARCH), 64, Split.TRAIN)
    assert float(toy.problem.score(method.predict(x), y)) > 0.95


def test_every_update_is_one_unit_of_gradient_evaluations() -> None:
    toy = context()
    method = Supervised(toy, Config(batch_size=16))
    while not method.step().done:
        pass
    assert toy.meter.ledger().phases[Phase.TRAIN].examples == HORIZON * 16


@pytest.mark.parametrize("schedule", list(Schedule))
def test_learning_rate_rises_and_ends_as_planned(schedule: Schedule) -> None:
    trunk = Trunk(nn.Linear(2, 2), Config(learning_rate=0.4, warm_up=0.1), horizon=100, schedule=schedule)
    rates = []
    while not trunk.finished:
        rates.append(trunk.learning_rate)
        trunk.update(tuple(torch.zeros_like(p) for p in trunk.network.parameters()))
    assert rates[0] == pytest.approx(0.04)
    assert max(rates) == pytest.approx(0.4, rel=0.03)
    assert rates[-1] == pytest.approx(0.4 if schedule is Schedule.CONSTANT else 0, abs=1e-3)


def test_predict_leaves_the_training_mode() -> None:
    trunk = Trunk(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)), Config(), horizon=1)
    x = torch.ones(700, 2)
    assert torch.equal(trunk.predict(x), trunk.predict(x)), "dropout must be off"
    assert trunk.network.training


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("small_cnn", (1, 8, 8)), ("small_cnn", (3, 33, 20)), ("conv4", (1, 28, 28)), ("conv4", (3, 9, 4)),
        ("mlp", (1, 32)), ("mlp", (3, 8, 8)),
    ],
)
def test_networks_have_outputs_and_second_derivatives(name: str, shape: tuple[int, ...]) -> None:
    network = networks.builder(name)(shape, 5)
    x = torch.rand(4, *shape)
    assert network(x).shape == (4, 5)
    gradients = torch.autograd.grad(network(x).square().sum(), tuple(network.parameters()), create_graph=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in gradients), tuple(network.parameters()))
    assert all(bool(g.isfinite().all()) for g in second)
    assert any(bool((g != 0).any()) for g in second)


def test_small_cnn_is_small() -> None:
    network = networks.builder("small_cnn")((1, 16, 16), 10)
    assert 10_000 < sum(p.numel() for p in network.parameters()) < 25_000
    assert not [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


def test_bad_networks_are_told_in_the_users_words() -> None:
    with pytest.raises(UserError, match="small_cnn"):
        networks.builder("smal_cnn")
    with pytest.raises(UserError, match="my_net"):
        networks.builder("my_nett", extra=("my_net",))
    with pytest.raises(UserError, match="mlp"):
        networks.builder("small_cnn")((1, 32), 3)
    assert networks.builder("mlp")((2,), 1)(torch.ones(1, 2)).shape == (1, 1)


def test_a_trunk_trains_in_mixed_precision_where_it_is_asked_for() -> None:
    """bfloat16 changes the outputs a little; weights, losses and gradients stay float32."""
    toy = toy_context()
    x, _ = toy.problem.draw(torch.Generator().manual_seed(0), 16, *LEARNABLE)
    full, mixed = (
        Trunk(toy.build_network(), RecipeConfig(precision=precision), 10)
        for precision in (Precision.FULL, Precision.MIXED)
    )
    assert mixed.outputs(x).dtype == torch.float32
    torch.testing.assert_close(mixed.outputs(x), full.outputs(x), rtol=0.05, atol=0.05)
    assert not torch.equal(mixed.outputs(x), full.outputs(x))
    assert torch.equal(Trunk(toy.build_network(), RecipeConfig(), 10).outputs(x), full.outputs(x)), "CPU: full"


@pytest.mark.parametrize(
    ("cursor", "rate"),
    [(0, 0.08), (4, 0.4), (79, 0.4), (80, 0.004), (89, 0.004), (90, 0.00004), (99, 0.00004)],
)
def test_steps_drop_the_learning_rate_at_their_shares_of_the_horizon(cursor: int, rate: float) -> None:
    """A warm-up of 5 updates to 0.4; a hundredth of it from update 80 on, and again from 90 on."""
    trunk = Trunk(nn.Linear(2, 2), Config(learning_rate=0.4, learning_rate_decay=Decay.STEPS), horizon=100)
    trunk.cursor = cursor
    assert trunk.learning_rate == pytest.approx(rate)


def test_drops_of_ones_own_and_none_in_a_search() -> None:
    config = Config(learning_rate=1.0, learning_rate_decay=Decay.STEPS, drops=(0.7,), drop_factor=0.5)
    trunk, search = Trunk(nn.Linear(2, 2), config, 10), Trunk(nn.Linear(2, 2), config, 10, Schedule.CONSTANT)
    rates = []
    for trunk.cursor in range(10):
        search.cursor = trunk.cursor
        rates.append((trunk.learning_rate, search.learning_rate))
    assert rates == [(1.0, 1.0)] * 7 + [(0.5, 1.0)] * 3


def test_a_drop_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        Config(drops=(float("nan"),))


@pytest.mark.parametrize("drops", [(0.9, 0.8), (0.5, 0.5), (0.0, 0.5), (0.5, 1.0)])
def test_drops_that_do_not_rise_within_the_horizon_are_refused(drops: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="must rise"):
        Config(drops=drops)
