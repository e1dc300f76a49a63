"""Learned ranges and Augerino: what rewards, tolerances and fixed ranges do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.support.toy_problems import signal_toy
from tracking.cost import Meter
from tracking.errors import UserError
from trainables.contract_toy import toy_context
from trainables.contract_trace import steps, with_view
from trainables.method import Context, Describes, Finds, MethodConfig
from trainables.methods import augerino, instance_ranges, learned_ranges
from trainables.modules.networks import builder
from trainables.problems.problem import Split
from trainables.problems.spec import ProblemSpec, in_memory


def widths(config: MethodConfig, horizon: int = 60) -> dict[str, float]:
    method = config.build(replace(toy_context(), horizon=horizon, slice_updates=10))
    for _ in steps(method):
        pass
    assert isinstance(method, Describes)
    return dict(method.describe())


@pytest.mark.parametrize("module", [learned_ranges, augerino])
def test_a_reward_widens_all_ranges(module: object) -> None:
    config: type[learned_ranges.Config] | type[augerino.Config] = module.Config  # type: ignore[attr-defined]
    start = widths(config(augmentation_learning_rate=1e-9))
    wide = widths(config(reward=5.0, augmentation_learning_rate=0.1))
    assert all(wide[name] > start[name] for name in start)


def test_what_was_found_is_trained_with_and_stays() -> None:
    for config in (learned_ranges.Config(), augerino.Config()):
        method = config.build(toy_context())
        for _ in steps(method):
            pass
        assert isinstance(method, Finds) and isinstance(method, Describes)
        again = method.found().build(toy_context())
        for _ in steps(again):
            pass
        assert isinstance(again, Describes)
        assert again.describe() == pytest.approx(dict(method.describe()), rel=1e-5)
        x = toy_context().problem.unlabelled(torch.Generator().manual_seed(0), 8)
        assert not torch.equal(again.sample(x, torch.Generator().manual_seed(0)), x)  # type: ignore[attr-defined]


def test_half_widths_of_augerino_are_five_softplus() -> None:
    """And as fast as its docstring says: dr/dtheta = 5 (1 - exp(-r / 5)), published (1 - exp(-2 r)) / 2."""
    method: Any = augerino.Config(initial_range=1.0).build(toy_context())
    ranges = method.layer.ranges
    torch.testing.assert_close(ranges.widths, 5 * torch.nn.functional.softplus(ranges.logits))
    (slopes,) = torch.autograd.grad(ranges.widths.sum(), ranges.logits)
    assert slopes.tolist() == pytest.approx([5 * (1 - math.exp(-0.2))] * 6, rel=1e-5)
    assert float(slopes[0]) / (0.5 * (1 - math.exp(-2.0))) == pytest.approx(2.1, abs=0.01)


def tolerant(horizon: int, **settings: Any) -> Any:
    config = learned_ranges.Config(tolerance=0.05, **settings)
    return config.build(replace(toy_context(), horizon=horizon, slice_updates=20))


def test_a_tolerance_takes_the_place_of_the_weight_and_survives_a_checkpoint() -> None:
    method, copied = tolerant(80), tolerant(80)
    for _ in range(3):
        metrics = method.step().metrics
    assert metrics["train/reward_weight"] != learned_ranges.Config().reward
    copied.load_state_dict(method.state_dict())
    assert copied.step() == method.step()


def test_while_ranges_wait_the_network_learns_and_the_weight_stays() -> None:
    """The weight is steered by what the augmentation costs, which says nothing before anything is learned."""
    method = tolerant(60, learning_rate=1e-6)
    before = [parameter.detach().clone() for parameter in method.trunk.network.parameters()]
    metrics = [method.step().metrics["train/reward_weight"] for _ in range(3)]
    assert metrics == pytest.approx(3 * [learned_ranges.Config().reward])
    assert not any(map(torch.equal, before, method.trunk.network.parameters()))
    assert not method.warnings()[1:] and "never fell" in method.warnings()[0]


def test_a_large_gap_lowers_the_weight_of_the_reward() -> None:
    """Wide ranges cost far more than .001 nats; with a tolerance of 50 nats the same ranges raise it."""
    weights = []
    for tolerance in (0.001, 50.0):
        config = learned_ranges.Config(tolerance=tolerance, initial_range=0.4, augmentation_learning_rate=1e-9,
                                       learning_rate=0.1)
        method = config.build(replace(toy_context(), horizon=300, slice_updates=300))
        weights.append(method.step().metrics["train/reward_weight"])
    assert weights[0] < learned_ranges.Config().reward < weights[1]


@pytest.mark.parametrize(("module", "waits"), [(learned_ranges, True), (instance_ranges, True), (augerino, False)])
def test_ranges_move_once_the_network_has_learned_something(module: Any, waits: bool) -> None:
    """On a learning rate on which the loss never halves they stay, and that is told; as published they do not wait."""
    def trained(learning_rate: float) -> tuple[bool, Sequence[str]]:
        config = module.Config(reward=5.0, learning_rate=learning_rate)
        method = config.build(replace(toy_context(), horizon=60, slice_updates=60))
        before = [parameter.detach().clone() for parameter in method.layer.parameters()]
        method.step()
        after = list(method.layer.parameters())
        return all(map(torch.equal, before, after)), method.warnings()

    method = module.Config(learning_rate=1e-6).build(replace(toy_context(), horizon=60, slice_updates=30))
    method.step()
    assert not method.warnings(), "not before the end"
    still, told = trained(1e-6)
    assert still == waits and ("never fell to half" in " ".join(told)) == waits
    still, told = trained(0.1)
    assert not still and not told, "on one that learns they move"


@pytest.mark.slow
def test_ranges_do_not_run_away_on_the_seed_on_which_they_did() -> None:
    """Digits turned by up to 45 degrees, 600 updates, seed 3: .24 when the reward was paid from the start."""
    nuisance = {"name": "nuisance", "ranges": {"rotation": 45.0}}
    spec = ProblemSpec.model_validate({"label": "turned", "source": {"name": "digits"}, "wrappers": [nuisance]})
    problem, meter = in_memory(spec.dataset(3), 3, 0), Meter("cpu")
    method = learned_ranges.Config().build(Context(
        problem=problem.view(meter), horizon=600, slice_updates=150, seed=3, device=torch.device("cpu"), meter=meter,
        network=builder("small_cnn"),
    ))
    for _ in steps(method):
        pass
    x, y = problem.examples(Split.TEST)
    assert float(problem.score(method.predict(x), y)) > 0.85


def test_signals_are_augmented_too_and_only_images_by_augerino() -> None:
    context = with_view(toy_context(), signal_toy().view())
    method = learned_ranges.Config().build(context)
    method.step()
    assert isinstance(method, Describes)
    assert {name.split("/")[0] for name in method.describe()} == {"frequency_shift", "phase", "noise"}
    with pytest.raises(UserError, match="augerino needs images"):
        augerino.Config().build(context)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"caps": {"rotatoin": 30.0}}, "rotation"),
        ({"caps": {"hue": 0.1}}, "a cap must name an operation"),
        ({"caps": {"rotation": -1.0}}, "positive and finite"),
        ({"ranges": {"rotation": 10.0}}, "name each operation once"),
    ],
)
def test_names_and_caps_that_do_not_fit(settings: dict[str, dict[str, float]], message: str) -> None:
    """Names and signs are told when the configuration is read, before anything runs; the rest with the inputs."""
    with pytest.raises(ValueError, match=message):
        learned_ranges.Config.model_validate(settings).build(toy_context())
