"""Strengths of a learned policy: signed operations go both ways, the others one way, all within the range."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor
from torch.testing import assert_close

from spaces.transforms import Operation
from trainables.modules.learned_policy import Draw, LearnedPolicy
from trainables.modules.policy_space import search_limit

RANGE, SIZE = 0.4, 200


def only(operation: Operation) -> LearnedPolicy:
    """Draws nothing else."""
    policy = LearnedPolicy((operation,), RANGE).double()
    with torch.no_grad():
        policy.choice_logits.copy_(torch.tensor([-1000.0, 0.0]))
    return policy


def drawn(strength: Tensor) -> Draw:
    return Draw(torch.ones(len(strength), dtype=torch.int64), strength)


def images(size: int) -> Tensor:
    x = torch.rand(size, 1, 4, 4, generator=Generator().manual_seed(0), dtype=torch.float64)
    return torch.nn.functional.interpolate(x, size=12, mode="bilinear") * 0.8 + 0.15


def test_brightness_multiplies_by_one_plus_the_signed_strength() -> None:
    """1 + u r limit, known for every image."""
    strength = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0], dtype=torch.float64)
    grey = torch.full((5, 1, 4, 4), 0.5, dtype=torch.float64)
    made = only(Operation.BRIGHTNESS).augment(grey, drawn(strength)).detach()
    factors = 1 + strength * RANGE * search_limit(Operation.BRIGHTNESS)
    assert_close(made, (0.5 * factors).view(5, 1, 1, 1).expand(5, 1, 4, 4))


@pytest.mark.parametrize("operation", [Operation.ROTATION, Operation.TRANSLATE_X, Operation.SHEAR_X])
def test_the_opposite_strength_is_the_mirror_image(operation: Operation) -> None:
    """T_v(mirror x) = mirror T_-v(x); one way only would give T_|v| on both sides."""
    policy, x = only(operation), images(3)
    strength = torch.tensor([0.3, 0.6, 0.9], dtype=torch.float64)
    made = policy.augment(x.flip(-1), drawn(strength)).flip(-1).detach()
    assert_close(made, policy.augment(x, drawn(-strength)).detach())
    other = policy.augment(x, drawn(strength)).detach()
    assert float((made - other).abs().max()) > 0.05, "both ways differ"


@pytest.mark.parametrize("operation", [Operation.GAUSSIAN_BLUR, Operation.SOLARISE, Operation.CUTOUT])
def test_operations_without_a_sign_take_the_size_alone(operation: Operation) -> None:
    policy, x = only(operation), images(3)
    strength = torch.tensor([0.5, 0.7, 0.95], dtype=torch.float64)
    made = policy.augment(x, drawn(-strength)).detach()
    assert_close(made, policy.augment(x, drawn(strength)).detach())
    assert float((made - x).abs().max()) > 0.01


def test_drawn_strengths_are_uniform_on_both_sides() -> None:
    """|v| <= r limit. Of 200 draws fewer than 60 fall on a side, or none in the last tenth at an end, once in 10^8."""
    policy = only(Operation.BRIGHTNESS)
    x = torch.full((SIZE, 1, 4, 4), 0.5, dtype=torch.float64)
    made = policy.augment(x, policy.draw(SIZE, Generator().manual_seed(0))).detach()
    shares = (made.mean((1, 2, 3)) / 0.5 - 1) / (RANGE * search_limit(Operation.BRIGHTNESS))
    assert float(shares.abs().max()) <= 1
    assert int((shares < 0).sum()) >= 60
    assert int((shares > 0).sum()) >= 60
    assert float(shares.min()) < -0.8
    assert float(shares.max()) > 0.8
