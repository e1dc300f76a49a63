"""The critic: its penalty on functions whose slope is known, and what each side of the game descends."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Generator, Tensor, nn

from spaces.transforms import Operation
from trainables.contract_toy import toy_context
from trainables.methods.faster_autoaugment import Config
from trainables.modules.critic import FEATURES, Critic, gradient_penalty
from trainables.modules.density_matching import DensityMatching
from trainables.modules.density_recipe import Reference
from trainables.modules.policy_space import OPERATIONS
from trainables.problems.problem import Split


class Linear(nn.Module):
    """D(x) = <w, x> with |w| as asked, for images (3, 4, 4)."""

    def __init__(self, length: float) -> None:
        super().__init__()
        w = torch.randn(48, generator=Generator().manual_seed(0))
        self.w = w / w.norm() * length

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.flatten(1), x.flatten(1) @ self.w


@pytest.mark.parametrize(("length", "penalty"), [(1.0, 0.0), (3.0, 4.0)])
def test_the_penalty_of_a_linear_critic_is_known(length: float, penalty: float) -> None:
    """(|w| - 1)^2, whatever the images are; over channels, pixel by pixel, |w| = 1 would not give 0."""
    real, made = torch.rand(2, 5, 3, 4, 4, generator=Generator().manual_seed(1))
    critic = Linear(length)
    found = gradient_penalty(critic, real, made, Generator().manual_seed(2))  # type: ignore[arg-type]
    assert float(found) == pytest.approx(penalty, abs=1e-5)
    per_pixel = critic.w.view(3, 4, 4).norm(dim=0)
    assert float((per_pixel - 1).square().mean()) != pytest.approx(penalty, abs=1e-2)


def test_the_penalty_is_differentiable_in_the_weights() -> None:
    critic = Critic(nn.Sequential(nn.Flatten(), nn.Linear(16, 3 + FEATURES), nn.Tanh()), 3)
    real, made = torch.rand(2, 6, 1, 4, 4, generator=Generator().manual_seed(0))
    penalty = gradient_penalty(critic, real, made, Generator().manual_seed(1))
    slopes = torch.autograd.grad(penalty, tuple(critic.parameters()), allow_unused=True, materialize_grads=True)
    assert max(float(slope.abs().max()) for slope in slopes) > 0


def searching(reference: Reference = Reference.TRAIN) -> DensityMatching:
    config = Config(batch_size=8, reference=reference)
    return DensityMatching(replace(toy_context(), horizon=20), config, OPERATIONS, 20)


def test_each_step_moves_its_own_side_only() -> None:
    search = searching()
    some = search._draw(search._order, 8, Split.TRAIN)

    def moved(step: object) -> tuple[bool, bool]:
        before = [p.detach().clone() for p in (*search._weights, *search._phi)]
        step()  # type: ignore[operator]
        changed = [not torch.equal(a, b) for a, b in zip(before, (*search._weights, *search._phi), strict=True)]
        return any(changed[: len(search._weights)]), any(changed[len(search._weights) :])

    assert moved(lambda: search._critic_step(some, some)) == (True, False)
    assert moved(lambda: search._policy_step(some)) == (False, True)


def test_the_critic_learns_to_value_the_reference_and_the_policy_to_please_it() -> None:
    """Reference white, the others black: values part; and a policy step raises the value of what it makes."""
    search = searching()
    black, white = (torch.full((16, 1, 8, 8), v) for v in (0.1, 0.9))
    some, reference = (search._draw(search._order, 16, Split.TRAIN)._replace(x=x) for x in (black, white))
    for _ in range(80):  # at 40 the values have just begun to part, and last bits decide
        search._critic_step(some, reference)
    with torch.no_grad():
        value = {name: float(search._critic(x)[1].mean()) for name, x in (("black", black), ("white", white))}
    assert value["white"] > value["black"] + 0.3

    def brightness() -> float:
        k = OPERATIONS.index(Operation.BRIGHTNESS)
        return float((search._learned.probabilities[1 + k] * search._learned.ranges[k]).detach())

    before = brightness()
    for _ in range(40):
        search._policy_step(some)
    assert brightness() > before, "brightness alone can make black images whiter"


@pytest.mark.parametrize(("reference", "splits"), [
    (Reference.TRAIN, ((Split.TRAIN, Split.OUTER), (Split.TRAIN, Split.OUTER))),
    (Reference.OUTER, ((Split.TRAIN,), (Split.OUTER,))),
])
def test_what_is_read(reference: Reference, splits: tuple[tuple[Split, ...], ...]) -> None:
    assert (reference.augmented, reference.splits) == splits
