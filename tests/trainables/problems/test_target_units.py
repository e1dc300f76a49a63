"""Real targets in standard units: whatever the user's units are, the same is learned, and given back in them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from tests.support.toy_problems import RegressionToy, image_toy, regression_toy
from tracking.cost import Meter
from trainables.contract_toy import toy_context
from trainables.contract_trace import steps
from trainables.methods.plain import Config as Plain
from trainables.problems.array_problem import ArrayProblem
from trainables.problems.contract import check_seeded
from trainables.problems.problem import LEARNABLE, Split
from trainables.problems.spec import in_memory
from trainables.problems.target_units import InUserUnits, TargetUnits, units_of
from trainables.takeaway import take_away

SCALE, OFFSET = 1500.0, -40_000.0


def toy(scale: float = 1.0, offset: float = 0.0) -> ArrayProblem:
    data = RegressionToy().load(0)
    moved = ((part * scale + offset).astype(np.float32) for part in (data.pool_y, data.test_y))
    pool_y, test_y = moved
    return in_memory(replace(data, pool_y=pool_y, test_y=test_y), 0, 0)


def test_learnable_targets_have_mean_zero_and_variance_one() -> None:
    y = torch.cat([toy(SCALE, OFFSET).examples(split).y for split in LEARNABLE])
    torch.testing.assert_close(y.mean(0), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(y.var(0, correction=0), torch.ones(2))


@pytest.mark.parametrize("split", Split)
def test_the_users_units_do_not_matter(split: Split) -> None:
    """Up to the rounding of targets that lie 30 standard deviations from zero."""
    torch.testing.assert_close(toy(SCALE, OFFSET).examples(split).y, toy().examples(split).y, atol=1e-4, rtol=0)


def test_the_way_back_is_the_way() -> None:
    given = RegressionToy().load(0).pool_y
    units = TargetUnits.of(given)
    torch.testing.assert_close(units.own(torch.from_numpy(units.standard(given))), torch.from_numpy(given))
    single = TargetUnits.of(np.full((3, 1), 7.0, np.float32))
    assert single == TargetUnits((7.0,), (1.0,))


@pytest.mark.parametrize("count", [3, 50, 400, 1000])
def test_what_does_not_vary_keeps_its_size_whatever_its_mean_is_rounded_to(count: int) -> None:
    """Means of equal numbers are rounded, and leave a spread of 1e-17 and more for most of these."""
    y = np.tile([0.1, 1e6 / 3, -1 / 7, 0.0], (count, 1))
    assert TargetUnits.of(y).scale == (1.0,) * 4
    y[0] += [1e-5, 1.0, 1e-5, 1e-30]  # negative control: each has a number apart, by more than float32 rounds
    assert TargetUnits.of(y).scale == tuple(y.std(0))


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1.0, 1e6), (1e-3, -500.0), (1e6, 1.0)])
def test_the_contract_sees_another_target_whatever_the_mean(scale: float, offset: float) -> None:
    """One of all, ten standard deviations away in another partition."""
    def build(seed: int, partition: int, deviations: float = 0.0) -> ArrayProblem:
        data = RegressionToy().load(seed)
        pool_y = (data.pool_y * scale + offset).astype(np.float64)
        pool_y[0] += partition * deviations * scale * data.pool_y.std(0)
        return in_memory(replace(data, pool_y=pool_y, test_y=data.test_y * scale + offset), seed, partition)

    check_seeded(build)
    for deviations in (10.0, 0.01):
        with pytest.raises(AssertionError, match="must divide the same pool"):
            check_seeded(partial(build, deviations=deviations))


def test_classes_have_no_units() -> None:
    assert units_of(image_toy()) is None and units_of(object()) is None
    assert units_of(regression_toy().view()) is not None


def curvature(loss: torch.Tensor, outputs: torch.Tensor) -> float:
    """Largest second derivative in one output."""
    (slope,) = torch.autograd.grad(loss, outputs, create_graph=True)
    return max(float(torch.autograd.grad(s, outputs, retain_graph=True)[0][k]) for k, s in enumerate(slope))


def test_the_loss_bends_as_a_cross_entropy_does_at_most() -> None:
    outputs = torch.zeros(2, dtype=torch.float64, requires_grad=True)  # the steepest place of a cross-entropy
    entropy = curvature(cross_entropy(outputs[None], torch.tensor([0])), outputs)
    ours = curvature(regression_toy().loss(outputs[None], torch.ones(1, 2)).sum(), outputs)
    assert entropy == pytest.approx(1 / 4)
    assert 2 * ours == pytest.approx(1 / 4)  # a mean over two outputs


class Affine(nn.Module):
    """One linear layer on signals."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.flatten(1))  # type: ignore[no-any-return]


def test_a_training_with_the_usual_rate_learns_targets_of_any_units_and_exports_them(tmp_path: Path) -> None:
    """At the recipe's default rate. Raw, targets about -40,000 gave a loss that is not a number after a few updates."""
    problem, meter = toy(SCALE, OFFSET), Meter("cpu")
    context = replace(
        toy_context(), problem=problem.view(meter), meter=meter, network=lambda shape, outputs: Affine(),
        horizon=200, slice_updates=100,
    )
    method = Plain().build(context)
    for _ in steps(method):
        pass
    x, y = problem.examples(Split.TEST)
    assert float(problem.score(method.predict(x), y)) > 0.95
    units = units_of(problem)
    assert units is not None
    assert take_away(method, str(tmp_path), tuple(problem.shape), units) == []
    program = torch.export.load(tmp_path / "model.pt2").module()
    torch.testing.assert_close(program(x), units.own(method.predict(x)))
    assert not torch.allclose(program(x), method.predict(x), rtol=0.5)  # negative control
    own = InUserUnits(nn.Identity(), units)
    torch.testing.assert_close(own(y), units.own(y))
