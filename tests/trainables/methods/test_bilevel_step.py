"""One update of a bilevel search against the same update written out: what it descends, where, how far.

With exact mixing over the identity and one flip nothing is random but the batches, and those are recorded:

    L_tr(theta, w) = pi_0 CE(theta; x, y) + pi_1 CE(theta; flip x, y),  pi = softmax(w)
    hyper = d/dw L_va(theta - eta (grad_theta L_tr + wd theta)),  L_va of held-out images as they are
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
from tests.trainables.methods.recorded import recorded, upside_down
from trainables.methods.unrolled import Config
from trainables.modules.bilevel_search import Update
from trainables.modules.hypergradient import OneStep
from trainables.modules.learned_policy import Mixing
from trainables.modules.policy_search import PolicySearch
from trainables.problems.problem import Batch, Split

UPDATES, RATE, DECAY, OUTER_RATE = 8, 0.5, 0.3, 0.05
# Warm-up ends with the second update; outer steps at 0, 2, 4, 6.
RATES = (RATE / 2, *[RATE] * (UPDATES - 1))
CONFIG = Config(
    batch_size=16, operations=(Operation.FLIP_VERTICAL,), mixing=Mixing.EXACT, learning_rate=RATE, momentum=0.0,
    weight_decay=DECAY, warm_up=0.25, outer_learning_rate=OUTER_RATE, outer_warm_up=0.0, outer_interval=2,
)
STEP = 1e-5  # of the central difference, in double precision: its error is of order 1e-10


class Moment(NamedTuple):
    """One update: what was there before it, in double precision, what it drew, what it said, what it left.

    Args:
        network: a copy.
        logits, logits_after: (2,), of the choice.
        weights_after: in the order of `network.parameters()`.
    """

    network: nn.Module
    logits: Tensor
    batch: Batch
    held_out: Batch
    update: Update
    logits_after: Tensor
    weights_after: tuple[Tensor, ...]


@pytest.fixture(scope="module")
def moments() -> list[Moment]:
    context, view = recorded(UPDATES)
    search = PolicySearch(context, CONFIG, CONFIG.operations, UPDATES, OneStep())
    found = []
    for _ in range(UPDATES):
        network, logits = copy.deepcopy(search.trunk.network).double(), search.learned.choice_logits.detach().double()
        update = search.update()
        found.append(Moment(
            network, logits, double(view.last(Split.TRAIN)), double(view.last(Split.OUTER)), update,
            search.learned.choice_logits.detach().double(),
            tuple(weight.detach().double() for weight in search.trunk.network.parameters()),
        ))
    return found


def double(batch: Batch) -> Batch:
    return Batch(batch.x.double(), batch.y)


def loss(network: nn.Module, weights: tuple[Tensor, ...], x: Tensor, y: Tensor) -> Tensor:
    named = dict(zip((name for name, _ in network.named_parameters()), weights, strict=True))
    return cross_entropy(functional_call(network, named, (x,)), y)


def inner_gradient(at: Moment, logits: Tensor, labels: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, ...]:
    """grad_theta L_tr; `labels` of the plain and of the flipped images, where they are not the batch's."""
    plain, flipped = labels or (at.batch.y, at.batch.y)
    weights, pi = tuple(at.network.parameters()), logits.softmax(0)
    terms = loss(at.network, weights, at.batch.x, plain), loss(at.network, weights, upside_down(at.batch.x), flipped)
    return torch.autograd.grad(pi[0] * terms[0] + pi[1] * terms[1], weights)


def hypergradient(
    at: Moment, rate: float, decay: float = DECAY, held_out: Batch | None = None,
    labels: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """(2,), by a central difference in the logits."""
    judged = at.held_out if held_out is None else held_out

    def ahead(logits: Tensor) -> Tensor:
        pairs = zip(at.network.parameters(), inner_gradient(at, logits, labels), strict=True)
        moved = tuple(weight.detach() - rate * (g + decay * weight.detach()) for weight, g in pairs)
        return loss(at.network, moved, *judged).detach()

    sides = STEP * torch.eye(2, dtype=torch.float64)
    return torch.stack([(ahead(at.logits + e) - ahead(at.logits - e)) / (2 * STEP) for e in sides])


def fits(at: Moment, expected: Tensor) -> bool:
    """Whether the search said so: float32 through a double backward keeps three digits of these numbers."""
    assert at.update.outer is not None
    return torch.allclose(at.update.outer.hyper[0].double(), expected, rtol=2e-3, atol=1e-6)


def outer_steps(moments: list[Moment]) -> list[tuple[Moment, float]]:
    return [(at, rate) for at, rate in zip(moments, RATES, strict=True) if at.update.outer is not None]


def test_the_hypergradient_is_that_of_held_out_images_after_the_step_that_follows(moments: list[Moment]) -> None:
    steps = outer_steps(moments)
    assert len(steps) == 4
    for at, rate in steps:
        assert fits(at, hypergradient(at, rate))


def test_the_check_rejects_other_images_other_labels_and_other_steps(moments: list[Moment]) -> None:
    """At the second outer step, where a rate that decays is already another one than the constant rate."""
    at, rate = outer_steps(moments)[1]
    both = at.batch.y.repeat_interleave(2)
    assert not fits(at, hypergradient(at, rate, held_out=at.batch)), "the training images"
    augmented = Batch(upside_down(at.held_out.x), at.held_out.y)
    assert not fits(at, hypergradient(at, rate, held_out=augmented)), "held-out images, augmented"
    assert not fits(at, hypergradient(at, rate, decay=0.0)), "without weight decay"
    assert not fits(at, hypergradient(at, 0.01 * rate)), "a step that is too short"
    assert not fits(at, hypergradient(at, rate * 0.85)), "a rate that decays"
    assert not fits(at, hypergradient(at, rate, labels=(both[:16], both[16:]))), "labels of other copies"
    assert not fits(at, -hypergradient(at, rate)), "a flipped sign"


def test_the_first_outer_step_goes_against_the_hypergradient(moments: list[Moment]) -> None:
    """Adam's first step is the learning rate against each sign."""
    at = moments[0]
    hyper = hypergradient(at, RATES[0])
    assert float(hyper.abs().min()) > 1e-3, "so that signs mean something"
    torch.testing.assert_close(at.logits_after - at.logits, -OUTER_RATE * hyper.sign(), rtol=1e-3, atol=0.0)


def test_logits_move_with_outer_steps_only(moments: list[Moment]) -> None:
    moved = [not torch.equal(at.logits, at.logits_after) for at in moments]
    assert moved == [True, False] * (UPDATES // 2)


def test_every_update_descends_the_mixed_training_loss_at_a_rate_that_stays(moments: list[Moment]) -> None:
    """theta - eta (g + wd theta), momentum 0: with an outer step and without one, g of the policy before it moved."""
    for at, rate in zip(moments, RATES, strict=True):
        weights = [weight.detach() for weight in at.network.parameters()]
        gradients = inner_gradient(at, at.logits)
        for before, g, after in zip(weights, gradients, at.weights_after, strict=True):
            torch.testing.assert_close(after, before - rate * (g + DECAY * before), rtol=1e-4, atol=1e-5)


def test_a_blend_has_no_range_to_learn(moments: list[Moment]) -> None:
    for at, _ in outer_steps(moments):
        assert at.update.outer is not None
        assert torch.equal(at.update.outer.hyper[1], torch.zeros(1))
