"""The learned policy: its gradients against enumeration and finite differences."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor

from spaces.transforms import Operation
from trainables.modules.learned_policy import LearnedPolicy, LossOf, Mixing, fixed_policy

# Blends have no random strength: enumeration over the choice is then the exact expectation.
BLENDS = (Operation.FLIP_HORIZONTAL, Operation.FLIP_VERTICAL, Operation.INVERT)
RANGES = (Operation.ROTATION, Operation.TRANSLATE_X, Operation.BRIGHTNESS)
BATCH, DRAWS = 16, 400

Loss = Callable[[LearnedPolicy, LossOf, Tensor, Generator], Tensor]


def images(size: int = BATCH) -> Tensor:
    """Smooth, asymmetric, inside (0, 1)."""
    x = torch.rand(size, 1, 4, 4, generator=Generator().manual_seed(0), dtype=torch.float64)
    return torch.nn.functional.interpolate(x, size=8, mode="bilinear") * 0.8 + 0.1


def loss_of(x: Tensor) -> Tensor:
    """Any smooth function of the image, positive like a cross-entropy."""
    weights = torch.linspace(-1, 1, 64, dtype=torch.float64)
    return (x.flatten(1) @ weights).square() + 1


def policy_at(logits: list[float], operations: tuple[Operation, ...] = BLENDS) -> LearnedPolicy:
    policy = LearnedPolicy(operations, initial_range=0.3).double()
    with torch.no_grad():
        policy.choice_logits.copy_(torch.tensor(logits))
    return policy


def sampled(policy: LearnedPolicy, of: LossOf, x: Tensor, generator: Generator) -> Tensor:
    return policy.loss(of, x, Mixing.SAMPLED, generator)


def check_estimator(loss: Loss) -> None:
    """Mean gradient over many draws against (1 - 1/B) times the enumerated one.

    4 logits at 2 points, |z| < 4.9 each (Bonferroni): a false alarm in fewer than 1 of 100,000 runs; seeds
    are fixed.
    """
    x = images()
    for logits in ([0.0, 0.0, 0.0, 0.0], [1.0, -1.0, 0.5, 0.0]):
        policy = policy_at(logits)
        exact = torch.autograd.grad(
            policy.loss(loss_of, x, Mixing.EXACT, Generator().manual_seed(0)), policy.choice_logits
        )[0]
        generator = Generator().manual_seed(1)
        draws = torch.stack([
            torch.autograd.grad(loss(policy, loss_of, x, generator), policy.choice_logits)[0]
            for _ in range(DRAWS)
        ])
        error = draws.mean(0) - (1 - 1 / BATCH) * exact
        z = error / (draws.std(0) / DRAWS**0.5 + 1e-12)
        assert float(z.abs().max()) < 4.9, f"off by {z.tolist()} standard errors"


def without_gradient(policy: LearnedPolicy, of: LossOf, x: Tensor, generator: Generator) -> Tensor:
    """Hard choice without weights: the choice gets no gradient at all."""
    return of(policy.augment(x, policy.draw(len(x), generator))).mean() + 0 * policy.choice_logits.sum()


def flipped(policy: LearnedPolicy, of: LossOf, x: Tensor, generator: Generator) -> Tensor:
    return -sampled(policy, of, x, generator)


def doubly_weighted(policy: LearnedPolicy, of: LossOf, x: Tensor, generator: Generator) -> Tensor:
    """Weights pi on top of drawing from pi: prefers what is frequent already."""
    draw = policy.draw(len(x), generator)
    return (policy.probabilities[draw.choice] * of(policy.augment(x, draw))).mean()


def test_sampled_choice_gradient_agrees_with_enumeration() -> None:
    check_estimator(sampled)


@pytest.mark.parametrize("broken", [without_gradient, flipped, doubly_weighted])
def test_check_rejects_a_wrong_estimator(broken: Loss) -> None:
    with pytest.raises(AssertionError):
        check_estimator(broken)


def test_exact_mixing_is_the_weighted_mean_over_choices() -> None:
    policy, x = policy_at([0.3, -0.2, 0.1, 0.7]), images()
    branches = [x, x.flip(-1), x.flip(-2), 1 - x]
    expected = sum(p * loss_of(b).mean() for p, b in zip(policy.probabilities, branches, strict=True))
    torch.testing.assert_close(policy.loss(loss_of, x, Mixing.EXACT, Generator()), expected)


@pytest.mark.parametrize("mixing", list(Mixing))
def test_range_gradient_is_the_finite_difference_with_the_same_draws(mixing: Mixing) -> None:
    policy, x = policy_at([0.0] * 4, RANGES), images()

    def value() -> Tensor:
        return policy.loss(loss_of, x, mixing, Generator().manual_seed(2))

    analytic = torch.autograd.grad(value(), policy.range_logits)[0]
    numeric = torch.zeros_like(analytic)
    step = 1e-6
    with torch.no_grad():
        for k in range(len(RANGES)):
            policy.range_logits[k] += step
            above = value()
            policy.range_logits[k] -= 2 * step
            numeric[k] = (above - value()) / (2 * step)
            policy.range_logits[k] += step
    assert bool((analytic != 0).all())
    # Bilinear warps have kinks; a step of 1e-6 crosses one of them for few pixels at most.
    torch.testing.assert_close(analytic, numeric, rtol=1e-3, atol=1e-6)


def test_value_of_the_sampled_loss_is_the_plain_mean() -> None:
    policy, x = policy_at([0.4, 0.0, 0.0, 0.0]), images()
    draw = policy.draw(BATCH, Generator().manual_seed(3))
    expected = loss_of(policy.augment(x, draw)).mean()
    torch.testing.assert_close(sampled(policy, loss_of, x, Generator().manual_seed(3)), expected)


def test_identity_leaves_images_alone_and_blends_are_applied_in_full() -> None:
    policy, x = policy_at([0.0] * 4), images()
    draw = policy.draw_all(BATCH, Generator().manual_seed(0))
    whole = policy.augment(x.repeat(4, 1, 1, 1), draw).unflatten(0, (4, BATCH))
    assert torch.equal(whole[0], x)
    torch.testing.assert_close(whole[1], x.flip(-1))
    torch.testing.assert_close(whole[3], 1 - x)


def test_fixed_policy_has_the_learned_numbers() -> None:
    policy = policy_at([1.0, 0.0, -1.0, 0.5], (Operation.ROTATION, Operation.SCALE, Operation.FLIP_VERTICAL))
    fixed = fixed_policy(policy.operations, policy.choice_logits, policy.range_logits)
    weights = [entry.weight for entry in fixed.entries]
    assert weights == pytest.approx(policy.probabilities[1:].tolist())
    assert [entry.magnitude for entry in fixed.entries] == pytest.approx([0.3, 0.3, 1.0])
    assert fixed.physical()["policy/rotation/range_deg"] == pytest.approx(54.0)
