"""LILA finds a turn that was planted in the data it is trained on, and none where there is none."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from tracking.cost import Meter
from tracking.errors import UserError
from trainables.contract_toy import toy_context
from trainables.method import Context
from trainables.methods import lila
from trainables.modules.networks import builder
from trainables.problems.problem import Split
from trainables.problems.spec import ProblemSpec, in_memory

TURN, UPDATES, SEEDS, ENOUGH = 45.0, 400, 5, 4


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
def test_turned_digits_give_their_turn() -> None:
    found = [ranges(seed, TURN)["rotation"] for seed in range(SEEDS)]
    assert sum(0.8 * TURN <= width <= 2 * TURN for width in found) >= ENOUGH, found


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
    config.model_copy(update={"ranges": {"rotation": 9.0}}).fits(toy.problem, grouped)  # nothing is estimated


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
