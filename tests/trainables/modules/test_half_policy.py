"""Searches of one half of a policy: the other stays, and this one gets the gradient that it has beside it."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from spaces.transforms import Operation
from tests.support.planted import HELD_OUT, digits, learned, trained
from trainables.methods import implicit, unrolled
from trainables.modules.learned_policy import LearnedPolicy, Learns, Mixing
from trainables.modules.policy_recipe import GradientConfig

OPERATIONS = (Operation.ROTATION, Operation.CONTRAST, Operation.SHEAR_X)


@pytest.mark.parametrize("mixing", Mixing)
@pytest.mark.parametrize("learns", [Learns.CHOICE, Learns.RANGES])
def test_a_half_has_the_gradient_that_it_has_beside_the_other(learns: Learns, mixing: Mixing) -> None:
    x = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    both, half = LearnedPolicy(OPERATIONS, 0.3), LearnedPolicy(OPERATIONS, 0.3, learns)
    name = "choice_logits" if learns is Learns.CHOICE else "range_logits"
    found = []
    for policy in (both, half):
        loss = policy.loss(lambda images: images.square().mean((1, 2, 3)), x, mixing, torch.Generator().manual_seed(1))
        found.append(torch.autograd.grad(loss, getattr(policy, name))[0])
    assert found[0].abs().sum() > 0
    assert torch.equal(*found)
    assert [one.requires_grad for one in half.parameters()] == [learns is Learns.CHOICE, learns is Learns.RANGES]


@pytest.mark.parametrize("config", [unrolled.Config, implicit.Config])
@pytest.mark.parametrize("learns", Learns)
def test_what_is_not_learned_stays_and_the_rest_moves(config: type[GradientConfig], learns: Learns) -> None:
    """Three operations and none begin at a quarter each, rotation at .2 of 180 degrees."""
    method = trained(config(learns=learns, operations=OPERATIONS, initial_range=0.2), digits(HELD_OUT), 0, 40).end
    stays = learned(method, "policy/rotation/range_deg") == pytest.approx(36, abs=1e-4)
    assert stays == (learns is Learns.CHOICE)
    stays = learned(method, "policy/rotation/probability") == pytest.approx(0.25, abs=1e-6)
    assert stays == (learns is Learns.RANGES)


def test_blends_have_no_range_to_learn() -> None:
    with pytest.raises(ValidationError, match="`learns: choice`"):
        unrolled.Config(learns=Learns.RANGES, operations=(Operation.AUTOCONTRAST, Operation.EQUALISE))
    unrolled.Config(learns=Learns.RANGES, operations=(Operation.AUTOCONTRAST, Operation.ROTATION))
    unrolled.Config(learns=Learns.CHOICE, operations=(Operation.AUTOCONTRAST,))
