"""One outer step of the search by the score function against the same step written out.

With r_b = <grad l_b(theta), v>, v = grad L_va at the LOOKED-AHEAD weights theta - eta (grad L_tr + wd theta):

    hyper_a = - mean_b z_b (1[a_b = a] - pi_a),  z the z-scores of r

At the beginning of a round the policy is its own anchor, so that the divergence has no gradient. A published defect
takes v at theta itself (T1-T2); with a step this large that is another direction.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from spaces.transforms import Operation
from tests.trainables.methods.recorded import recorded, softmax_regression
from trainables.method import Role
from trainables.methods.score_function import Config
from trainables.modules.arm_search import ArmSearch
from trainables.modules.arms import ArmDraw
from trainables.modules.bilevel_search import SEARCH_STREAM
from trainables.modules.hypergradient import Estimate, Step
from trainables.problems.problem import Batch, Split

OPERATIONS = (Operation.FLIP_VERTICAL, Operation.INVERT, Operation.TRANSLATE_Y)
RATE, DECAY = 2.0, 0.1
CONFIG = Config(
    batch_size=32, learning_rate=RATE, weight_decay=DECAY, momentum=0.0, warm_up=0.0, outer_warm_up=0.0,
)
LOGITS = torch.tensor([0.5, 0.0, -0.5, 0.2, 0.0, 0.3, -0.2])


class Moment(NamedTuple):
    """The first update: the network before it (a copy in double precision), what was drawn, what was said.

    Args:
        x: the training images as they were augmented.
        after: the weights after it.
    """

    network: nn.Module
    draw: ArmDraw
    x: Tensor
    y: Tensor
    held_out: Batch
    said: Estimate
    moved: Tensor
    after: tuple[Tensor, ...]


@pytest.fixture(scope="module")
def moment() -> Moment:
    context, view = recorded(8, network=softmax_regression)
    search = ArmSearch(context, CONFIG, OPERATIONS, 8, rounds=2, strength=1.0)
    with torch.no_grad():
        search.arms.logits.copy_(LOGITS)
    network = copy.deepcopy(search.trunk.network).double()
    # The search's own stream from its beginning: with it the draw can be repeated.
    noise = context.generator(Role.AUGMENT, SEARCH_STREAM)
    draw = search.arms.draw(CONFIG.batch_size, noise)
    said = search.update().outer
    assert said is not None
    batch, held_out = view.last(Split.TRAIN), view.last(Split.OUTER)
    x = search.arms.augment(batch.x, draw, noise).double()
    return Moment(
        network, draw, x, batch.y, Batch(held_out.x.double(), held_out.y), said, search.arms.logits.detach() - LOGITS,
        tuple(weight.detach().double() for weight in search.trunk.network.parameters()),
    )


def losses(at: Moment, weights: tuple[Tensor, ...], x: Tensor, y: Tensor) -> Tensor:
    named = dict(zip((name for name, _ in at.network.named_parameters()), weights, strict=True))
    return cross_entropy(functional_call(at.network, named, (x,)), y, reduction="none")


def ahead(at: Moment, step: Step) -> tuple[Tensor, ...]:
    theta = tuple(at.network.parameters())
    return step.ahead(theta, torch.autograd.grad(losses(at, theta, at.x, at.y).mean(), theta))


def hypergradient(at: Moment, weights: tuple[Tensor, ...]) -> Tensor:
    """(A,), with v taken at these weights; every image's gradient by itself."""
    v = torch.autograd.grad(losses(at, weights, *at.held_out).mean(), weights)
    theta = tuple(at.network.parameters())
    rewards = torch.stack([
        torch.stack([(g * part).sum() for g, part in zip(torch.autograd.grad(one, theta), v, strict=True)]).sum()
        for one in (losses(at, theta, at.x[b : b + 1], at.y[b : b + 1]).sum() for b in range(len(at.x)))
    ])
    z = (rewards - rewards.mean()) / rewards.std(correction=0)
    pi = LOGITS.double().softmax(0)
    score = torch.nn.functional.one_hot(at.draw.arm, len(pi)) - pi
    return -(z[:, None] * score).mean(0)


def fits(at: Moment, weights: tuple[Tensor, ...]) -> bool:
    """Central differences of a smooth loss with a step of 0.01, in float32: three digits."""
    return torch.allclose(at.said.hyper[0].double(), hypergradient(at, weights), rtol=0.0, atol=1e-3)


def test_rewards_are_taken_along_the_gradient_at_the_looked_ahead_weights(moment: Moment) -> None:
    assert fits(moment, ahead(moment, Step(RATE, DECAY)))


def test_the_check_rejects_a_gradient_that_is_taken_elsewhere(moment: Moment) -> None:
    theta = tuple(moment.network.parameters())
    assert not fits(moment, theta), "T1-T2: at theta itself"
    assert not fits(moment, ahead(moment, Step(RATE, 0.0))), "without weight decay"
    assert not fits(moment, ahead(moment, Step(0.1 * RATE, DECAY))), "a step that is too short"
    assert not fits(moment, ahead(moment, Step(-RATE, -DECAY))), "a step the other way"


def test_the_outer_loss_is_that_of_the_looked_ahead_weights(moment: Moment) -> None:
    weights = ahead(moment, Step(RATE, DECAY))
    value = float(losses(moment, weights, *moment.held_out).detach().mean())
    assert float(moment.said.outer_loss) == pytest.approx(value, rel=1e-4)
    at_theta = float(losses(moment, tuple(moment.network.parameters()), *moment.held_out).detach().mean())
    assert at_theta != pytest.approx(value, rel=0.05)


def test_the_step_that_follows_is_the_one_that_was_looked_ahead_to(moment: Moment) -> None:
    """Momentum is 0; logits move against their hypergradient, by Adam's learning rate."""
    for after, expected in zip(moment.after, ahead(moment, Step(RATE, DECAY)), strict=True):
        torch.testing.assert_close(after, expected.detach(), rtol=1e-4, atol=1e-5)
    signs = hypergradient(moment, ahead(moment, Step(RATE, DECAY))).sign().float()
    torch.testing.assert_close(moment.moved, -CONFIG.outer_learning_rate * signs, rtol=1e-3, atol=0.0)
