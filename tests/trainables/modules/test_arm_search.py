"""The score function over arms: its gradient against enumeration, its rewards against autograd, its rounds."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Generator, Tensor

from spaces.transforms import Operation
from trainables.contract_toy import toy_context
from trainables.method import Context
from trainables.methods.score_function import Config
from trainables.modules import arm_search
from trainables.modules.arm_search import ArmSearch
from trainables.modules.arms import RANGES, ArmDraw, Arms
from trainables.modules.hypergradient import detached, leaves_of
from trainables.problems.problem import Split

OPERATIONS = (Operation.ROTATION, Operation.FLIP_HORIZONTAL)


def searching(updates: int = 24, strength: float = 0.0, **changes: float) -> ArmSearch:
    config = Config.model_validate({"batch_size": 8, "outer_warm_up": 0.25, **changes})
    return ArmSearch(long(updates), config, OPERATIONS, updates, 3, strength)


def long(horizon: int) -> Context:
    return replace(toy_context(), horizon=horizon)


def drawn(arms: Tensor) -> ArmDraw:
    return ArmDraw(arms, torch.rand(len(arms)), torch.ones(len(arms)))


def test_an_operation_has_an_arm_per_range_and_a_flip_has_one() -> None:
    arms = Arms(OPERATIONS)
    assert [line.magnitude for line in arms.table if line.operation is Operation.ROTATION] == list(RANGES)
    assert [line.operation for line in arms.table].count(Operation.FLIP_HORIZONTAL) == 1
    assert arms.table[0].operation is None
    policy = arms.policy(torch.zeros(6))
    assert [entry.weight for entry in policy.entries] == pytest.approx([1 / 6] * 5)


@pytest.mark.parametrize("favourite", [0.1, 0.5, 0.9])
def test_the_mean_gradient_is_that_of_the_enumerated_expectation(favourite: float) -> None:
    """d/dw sum_a pi_a R_a with known rewards R; 20,000 draws of arms, five standard errors and the z-score's scale.

    The estimate is compared in direction: z-scoring divides by the spread of the rewards.
    """
    search = searching()
    count = len(search.arms.table)
    pi = torch.full((count,), (1 - favourite) / (count - 1))
    pi[1] = favourite
    with torch.no_grad():
        search.arms.logits.copy_(pi.log())
    values = torch.tensor([0.3, -1.0, 0.5, 2.0, -0.4, 0.1])
    w = search.arms.logits.detach().clone().requires_grad_()
    (exact,) = torch.autograd.grad((w.softmax(0) * values).sum(), [w])
    arms = torch.multinomial(pi, 20_000, replacement=True, generator=Generator().manual_seed(0))
    rewards = values[arms]
    found = -search._hyper(drawn(arms), rewards) * rewards.std(correction=0)
    errors = 5 * rewards.std() * (pi * (1 - pi) / 20_000).sqrt()
    assert bool(((found - exact).abs() <= errors).all())
    assert bool(((-found - exact).abs() > errors).any()), "a flipped sign must not pass"


def test_rewards_are_the_products_of_every_images_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """By two forward passes, against autograd image by image; a step so short that no unit crosses its kink."""
    monkeypatch.setattr(arm_search, "DARTS_STEP", 1e-3)
    search = searching()
    weights = detached(tuple(search.trunk.network.parameters()))
    batch = search._draw(search._order, 8, Split.TRAIN)
    v = tuple(torch.randn(w.shape, generator=Generator().manual_seed(3)) for w in weights)
    found = search._rewards(weights, v, *batch)
    for b in range(8):
        leaves = leaves_of(weights)
        loss = search._losses(leaves, batch.x[b : b + 1], batch.y[b : b + 1]).sum()
        exact = sum(float((g * part).sum()) for g, part in zip(torch.autograd.grad(loss, leaves), v, strict=True))
        assert float(found[b]) == pytest.approx(exact, rel=0.02, abs=0.05)
    assert float(found.std()) > 0.5, "the tolerance says something"


def test_the_anchor_holds_a_policy_back() -> None:
    """With rewards that mean nothing, only the divergence pulls: towards the anchor, and not away."""
    search = searching(strength=1.0)
    with torch.no_grad():
        search.arms.logits[1] = 2.0
    arms = torch.tensor([0, 1, 2, 3])
    pull = search._hyper(drawn(arms), torch.zeros(4))
    assert float(pull[1]) > 0, "descending lowers what the anchor has less of"
    assert bool((pull[[0, 2, 3, 4, 5]] < 0).all())
    search._strength = 0.0
    assert torch.equal(search._hyper(drawn(arms), torch.zeros(4)), torch.zeros(6))


def test_rounds_begin_with_the_weights_of_the_first_one() -> None:
    """24 updates, six of them warm-up: rounds at 6, 12 and 18."""
    search = searching()
    assert search._starts == [6, 12, 18]
    seen: dict[int, list[Tensor]] = {}
    for number in range(24):
        before = [p.detach().clone() for p in search.trunk.network.parameters()]
        search._begin_round()
        seen[number] = [p.detach().clone() for p in search.trunk.network.parameters()]
        same = all(torch.equal(a, b) for a, b in zip(before, seen[number], strict=True))
        assert same is (number not in (12, 18))
        search.update()
    for number in (12, 18):
        assert all(torch.equal(a, b) for a, b in zip(seen[6], seen[number], strict=True))
    assert search.left == 0


def test_the_policy_moves_only_with_the_first_round() -> None:
    search = searching()
    for _ in range(6):
        search.update()
        assert torch.equal(search.arms.logits, torch.zeros(6))
    search.update()
    assert not torch.equal(search.arms.logits, torch.zeros(6))


def test_arms_are_drawn_by_their_probabilities() -> None:
    search = searching()
    with torch.no_grad():
        search.arms.logits.copy_(torch.tensor([0.5, 0.1, 0.1, 0.1, 0.1, 0.1]).log())
    drawn_arms = search.arms.draw(6000, Generator().manual_seed(0)).arm
    assert abs(float((drawn_arms == 0).float().mean()) - 0.5) < 0.033  # 5 standard errors; 1 / 6 if all were alike


def test_the_divergence_is_that_of_the_policy_from_its_anchor() -> None:
    """KL(pi || anchor) with an anchor that is not uniform: its gradient is pi (log pi / anchor - KL)."""
    search = searching(strength=1.0)
    anchor = torch.tensor([0.4, 0.2, 0.1, 0.1, 0.1, 0.1])
    search._anchor = anchor.log()
    pi = search.arms.logits.detach().softmax(0)
    ratio = (pi / anchor).log()
    expected = pi * (ratio - (pi * ratio).sum())
    torch.testing.assert_close(search._hyper(drawn(torch.tensor([0, 1])), torch.zeros(2)), expected)


def test_the_anchor_moves_with_every_round() -> None:
    search = searching(strength=0.1)
    for _ in range(12):
        search.update()
    before = search.arms.logits.detach().clone()
    assert not torch.equal(before, torch.zeros(6))
    search._begin_round()
    assert torch.equal(search._anchor, before)


def test_the_search_goes_where_the_outer_loss_falls() -> None:
    """The mean of 400 estimates against the products of every arm, enumerated."""
    search = searching(outer_warm_up=0.25)
    batch = search._draw(search._order, 8, Split.TRAIN)
    held_out = search._draw(search._outer, 16, Split.OUTER)
    weights = detached(tuple(search.trunk.network.parameters()))
    total, values = torch.zeros(6), []
    for _ in range(400):
        total += search._estimated(batch, held_out).hyper[0]
    leaves = leaves_of(weights)
    for arm in range(6):  # the product of every arm's mean gradient with that of the outer loss, strengths averaged
        products = []
        for _ in range(40):
            draw = search.arms.draw(8, search._noise)._replace(arm=torch.full((8,), arm))
            loss = search._losses(leaves, search.arms.augment(batch.x, draw, search._noise), batch.y).mean()
            ahead = torch.autograd.grad(loss, leaves)
            v = torch.autograd.grad(search._outer_loss(leaves, held_out), leaves)
            products.append(sum(float((g * part).sum()) for g, part in zip(ahead, v, strict=True)))
        values.append(sum(products) / len(products))
    wanted = torch.tensor(values) - sum(values) / 6  # minus this is the direction that lowers the outer loss
    assert float(torch.corrcoef(torch.stack((-total, wanted)))[0, 1]) > 0.8
    assert float(torch.corrcoef(torch.stack((total, wanted)))[0, 1]) < 0, "a search that ascends must not pass"


def test_a_resume_between_rounds_goes_on_exactly() -> None:
    """From every update on: weights that rounds begin with, anchors and draws are all in the state."""
    whole = searching(strength=0.1)
    states, ends = [], None
    for _ in range(24):
        states.append(whole.state_dict())
        whole.update()
    ends = whole.state_dict()
    for number in (3, 6, 7, 11, 12, 13, 17, 18, 20):
        again = searching(strength=0.1)
        again.load_state_dict(states[number])
        while again.left:
            again.update()
        assert torch.equal(again.state_dict()["policy"]["logits"], ends["policy"]["logits"]), number
        mine, theirs = again.state_dict()["trunk"]["network"], ends["trunk"]["network"]
        assert all(torch.equal(mine[name], theirs[name]) for name in theirs), number
