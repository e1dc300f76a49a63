"""The papers' invariance metric on outputs that are known, and the weight that a tolerance steers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor

from tracking.errors import UserError
from trainables.modules.augmentation import Patience, ToleranceController
from trainables.modules.augmentation.controller import HIGHEST, LOWEST, STEP
from trainables.relative_invariance import relative_invariance


def outputs(count: int = 200) -> tuple[Tensor, Tensor]:
    labels = torch.arange(count) % 4
    return torch.eye(4)[labels] + 0.1 * torch.rand(count, 4, generator=Generator().manual_seed(0)), labels


def test_invariant_outputs_have_one_and_exchanged_ones_none() -> None:
    z, labels = outputs()
    assert relative_invariance(z, z.clone(), labels, Generator().manual_seed(0)) == pytest.approx(1, abs=1e-6)
    elsewhere = z.roll(1, 0)  # the outputs of an example of another class
    assert abs(relative_invariance(z, elsewhere, labels, Generator().manual_seed(0))) < 0.1
    half = relative_invariance(z, (z + elsewhere) / 2, labels, Generator().manual_seed(0))
    assert 0.5 < half < 0.9


def test_it_is_a_median_and_partners_are_of_other_classes() -> None:
    """Two classes along two axes, so every partner is at a distance of one; within a class it would be zero.

    Three of nine examples are moved onto the other class (0 each), six by half of the way in the cosine (one half).
    """
    labels = torch.arange(9) % 2
    z = torch.eye(2)[labels]
    halfway = torch.tensor([[0.5, 0.75**0.5], [0.75**0.5, 0.5]])[labels]  # a cosine of 1/2 with their own axis
    moved = torch.where(torch.arange(9)[:, None] < 3, z.flip(-1), halfway)
    for seed in range(20):
        assert relative_invariance(z, moved, labels, Generator().manual_seed(seed)) == pytest.approx(0.5, abs=1e-6)
    with pytest.raises(UserError, match="other classes"):
        relative_invariance(z, moved, torch.zeros(9), Generator())
    collapsed = torch.ones(9, 2)
    assert math.isnan(relative_invariance(collapsed, collapsed, labels, Generator())), "nothing is away"


def looks(controller: ToleranceController, augmented: float, plain: float, times: int) -> float:
    for _ in range(times):
        controller.update(torch.tensor(augmented), torch.tensor(plain))
    return float(controller.weight)


def test_the_weight_rises_within_the_tolerance_and_falls_beyond() -> None:
    controller = ToleranceController(0.1, 0.05)
    controller.update(torch.tensor(2.0), torch.tensor(2.0))  # the first loss, against which learning is told
    raised = looks(controller, 0.55, 0.5, 30)
    assert raised > 0.05
    assert looks(controller, 0.9, 0.5, 30) < raised
    assert looks(ToleranceController(0.1, 0.05), 2.0, 2.0, 500) == pytest.approx(LOWEST), "nothing learned yet"
    learned = ToleranceController(0.1, 0.05)
    learned.update(torch.tensor(2.0), torch.tensor(2.0))
    assert looks(learned, 0.5, 0.5, 500) == pytest.approx(HIGHEST)


def test_the_tolerance_is_the_gap_at_which_the_weight_turns() -> None:
    """A gap of 5 % less raises the weight for good, one of 5 % more lowers it."""
    for gap, bound in ((0.095, HIGHEST), (0.105, LOWEST)):
        controller = ToleranceController(0.1, 0.05)
        controller.update(torch.tensor(2.0), torch.tensor(2.0))
        assert looks(controller, 0.5 + gap, 0.5, 500) == pytest.approx(bound)


def test_one_look_is_one_step_and_the_state_is_the_whole_of_it() -> None:
    controller, copied = ToleranceController(0.1, 0.05), ToleranceController(0.1)
    controller.update(torch.tensor(2.0), torch.tensor(2.0))
    assert float(controller.weight) == pytest.approx(0.05 / STEP)
    copied.load_state_dict(controller.state_dict())
    assert looks(copied, 0.52, 0.5, 7) == looks(controller, 0.52, 0.5, 7)
    with pytest.raises(UserError, match="must be positive"):
        ToleranceController(0.0)


def test_patience_ends_when_the_mean_loss_has_halved_and_never_comes_back() -> None:
    """Means, with a memory of .7: 2, 1.43, 1.60 (one lucky batch is not enough), 1.27, 1.04, .88, then up again."""
    patience, seen = Patience(), []
    for loss in (2.0, 0.1, 2.0, 0.5, 0.5, 0.5, 3.0, 3.0, 3.0):
        patience.update(torch.tensor(loss))
        seen.append(float(patience.over))
    assert seen == [0, 0, 0, 0, 0, 1, 1, 1, 1]
    again = Patience()
    again.load_state_dict(patience.state_dict())
    assert float(again.over) == 1
