"""LILA finds half of a planted turn and more in the data that it is trained on, and none where there is none."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tracking.cost import Meter
from tracking.errors import UserError
from trainables.contract_toy import toy_context
from trainables.method import Context
from trainables.methods import lila
from trainables.modules.augmentation import LearnedAffine
from trainables.modules.augmentation.standard import widths
from trainables.modules.kronecker import curved_layers
from trainables.modules.marginal_likelihood import PRECISIONS, Evidence
from trainables.modules.networks import builder
from trainables.problems.problem import LEARNABLE, Split
from trainables.problems.spec import ProblemSpec, in_memory

TURN, UPDATES, SEEDS, ENOUGH = 45.0, 400, 5, 4
SMALL = {"copies": 2, "block": 6, "batch_size": 8, "burn_in": 0.0, "interval": 1}


def ranges(seed: int, turn: float) -> dict[str, float]:
    """Half-widths by operation after training on digits that were turned, or not, in every split."""
    nuisance = {"name": "nuisance", "ranges": {"rotation": turn}, "on": [split.value for split in Split]}
    spec = ProblemSpec.model_validate({
        "label": "digits", "source": {"name": "digits"}, "wrappers": [nuisance] if turn else [],
    })
    meter = Meter("cpu")
    context = Context(
        problem=in_memory(spec.dataset(seed), seed, 0).view(meter), horizon=UPDATES, slice_updates=UPDATES, seed=seed,
        device=torch.device("cpu"), meter=meter, network=builder("small_cnn"),
    )
    method = lila.Config().build(context)
    method.step()
    found = method.found().ranges  # type: ignore[attr-defined]
    print({name: round(width, 3) for name, width in found.items()})  # pytest -rA shows it
    return dict(found)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_turned_digits_give_half_of_their_turn_at_least() -> None:
    found = [ranges(seed, TURN)["rotation"] for seed in range(SEEDS)]
    assert sum(0.5 * TURN <= width <= 2 * TURN for width in found) >= ENOUGH, found


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_upright_digits_give_none() -> None:
    """Below the 9 degrees that it begins with."""
    found = [ranges(seed, 0.0)["rotation"] for seed in range(SEEDS)]
    assert sum(width < 5.0 for width in found) >= ENOUGH, found


def test_a_network_without_factors_is_refused_before_work() -> None:
    def grouped(shape: tuple[int, ...], outputs: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(4, 4, 3, groups=2), nn.Flatten(), nn.LazyLinear(outputs))

    toy, config = toy_context(), lila.Config()
    with pytest.raises(UserError, match="in one group"):
        config.fits(toy.problem, grouped)
    given = config.model_copy(update={"ranges": widths(LearnedAffine())})
    given.fits(toy.problem, grouped)  # nothing is estimated


def test_an_estimate_moves_ranges_up_and_the_precision_half_way(monkeypatch: pytest.MonkeyPatch) -> None:
    method: Any = lila.Config.model_validate(SMALL).build(toy_context())
    seen: list[tuple[int, Tensor, int]] = []

    def told(network: Any, copies: Tensor, labels: Tensor, examples: int, probes: Tensor) -> Evidence:
        """Its best precision is the positive root of 9 d (1 + d) = 1."""
        seen.append((examples, probes, len(labels)))
        return Evidence(method.layer.ranges.logits.sum(), torch.tensor(9.0), torch.ones(1), examples)

    monkeypatch.setattr(lila, "evidence", told)
    before, start = method.layer.ranges.logits.detach().clone(), float(method._precision)
    value = method._widen()
    best, now = (math.sqrt(1 + 4 / 9) - 1) / 2, float(method._precision)
    assert now == pytest.approx(math.sqrt(start * best), rel=1e-3)
    examples, first, block = seen[0]
    assert examples == method._context.problem.size(*LEARNABLE) > block
    expected = float(before.sum()) - (9 * now + math.log1p(1 / now)) / (2 * examples)
    assert float(value) == pytest.approx(expected, rel=1e-5)
    assert bool((method.layer.ranges.logits > before).all())
    method._widen()
    assert not torch.equal(first, seen[1][1]), "probes are drawn anew"


def test_the_precision_is_the_weight_decay_of_layers_with_factors_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    gradients: list[Any] = []
    for precision in (1.0, 11.0):
        method: Any = lila.Config.model_validate({**SMALL, "weight_decay": 0.3}).build(toy_context())
        method._precision.fill_(precision)
        monkeypatch.setattr(method.trunk, "update", gradients.append)
        method._update()
    with_factors = {id(w) for layer in curved_layers(method.trunk.network).values() for w in layer.parameters()}
    parameters = list(method.trunk.network.parameters())
    assert 0 < len(with_factors) < len(parameters)
    for weight, low, high in zip(parameters, *gradients, strict=True):
        wanted = 10.0 / method._examples * weight if id(weight) in with_factors else torch.zeros_like(weight)
        torch.testing.assert_close(high - low, wanted.detach(), rtol=1e-3, atol=1e-6)
    assert method.trunk._optimiser.param_groups[0]["weight_decay"] == 0.0


def test_no_weight_decay_begins_at_the_least_precision() -> None:
    method: Any = lila.Config.model_validate({**SMALL, "weight_decay": 0.0}).build(toy_context())
    assert method.describe()["prior/precision"] == pytest.approx(PRECISIONS[0])


@pytest.mark.parametrize(("burn_in", "interval", "estimates"), [(0.0, 1, 20), (0.5, 1, 10), (0.5, 4, 2), (0.0, 7, 3)])
def test_estimates_begin_after_burn_in_and_come_at_every_interval(
    burn_in: float, interval: int, estimates: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**SMALL, "burn_in": burn_in, "interval": interval}
    method: Any = lila.Config.model_validate(settings).build(replace(toy_context(), horizon=20))
    called: list[int] = []
    monkeypatch.setattr(method, "_widen", lambda: called.append(method.trunk.cursor) or torch.zeros(()))
    while not method.step().done:
        pass
    assert len(called) == estimates and all(cursor % interval == 0 for cursor in called)
    assert min(called) >= burn_in * 20


def test_it_trains_on_an_extractors_trunk() -> None:
    toy = toy_context()
    method = lila.Config.model_validate({**SMALL, "pretrained": {}}).build(toy)
    method.step()


def test_a_network_with_weights_that_are_not_used_trains() -> None:
    class Spare(nn.Module):
        def __init__(self, shape: tuple[int, ...], outputs: int) -> None:
            super().__init__()
            self.layer, self.spare = nn.Linear(math.prod(shape), outputs), nn.LayerNorm(3)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x.flatten(1))  # type: ignore[no-any-return]

    toy, config = toy_context(), lila.Config.model_validate(SMALL)
    config.fits(toy.problem, Spare)
    config.build(replace(toy, network=Spare)).step()


def test_the_precision_goes_where_the_evidence_wants_it() -> None:
    """From either side, by a network that has hardly moved."""
    found = []
    for decay in (1e-6, 10.0):
        settings = {"weight_decay": decay, "learning_rate": 1e-6, "copies": 2, "burn_in": 0.0, "interval": 1}
        method = lila.Config.model_validate(settings).build(replace(toy_context(), horizon=24))
        starts = method.describe()["prior/precision"]
        while not method.step().done:
            pass
        found.append((starts, method.describe()["prior/precision"]))
    (low, from_low), (high, from_high) = found
    assert low < from_low and from_high < high
    assert abs(from_low / from_high - 1) < 0.5
