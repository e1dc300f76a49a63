"""An augmentation policy whose choice and ranges are learned by gradients.

Axes: K operations, choice 0 is the identity; B images (B, C, H, W).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from spaces.policies import Policy
from spaces.transforms import TRANSFORMS, Operation, Strength, apply_mixed
from trainables.modules.policy_space import choices, mixture, require_finite, search_limit

LossOf = Callable[[Tensor], Tensor]  # augmented images (B, C, H, W) -> losses (B,)


class Mixing(StrEnum):
    """How the expectation over the choice enters the inner loss."""

    SAMPLED = "sampled"  # one choice per image, importance-weighted: the cost of plain training
    EXACT = "exact"      # every choice for every image: K + 1 times the cost, no sampling error in the choice


class Learns(StrEnum):
    """Which half of the policy is searched; the other stays as it begins."""

    BOTH = "both"
    CHOICE = "choice"  # how often: every range is the initial one
    RANGES = "ranges"  # how far: every operation, and none, as often as any other


class Draw(NamedTuple):
    """The randomness of one augmentation of B images.

    Args:
        choice: (B,) int64 in 0..K, 0 the identity.
        strength: (B,) in (-1, 1): a uniform share of the range, with the sign that signed operations take.
    """

    choice: Tensor
    strength: Tensor


class LearnedPolicy(nn.Module):
    """pi = softmax(w) over identity and K operations; range r_k = sigmoid(s_k) times operation k's limit.

    An image gets one choice k ~ pi and, for an operation with a range, the signed strength u r_k with u ~
    U(0, 1); blends (no strength of their own) are applied in full and have no range to learn.

    Args:
        operations: the K operations.
        initial_range: r at the start, in (0, 1).
        learns: what asks for a gradient.
    """

    def __init__(
        self, operations: Sequence[Operation], initial_range: float = 0.1, learns: Learns = Learns.BOTH
    ) -> None:
        super().__init__()
        self.operations = tuple(operations)
        self._table = tuple((operation, search_limit(operation)) for operation in self.operations)
        start = math.log(initial_range / (1 - initial_range))
        choice, ranges = torch.zeros(len(self.operations) + 1), torch.full((len(self.operations),), start)
        self.choice_logits = nn.Parameter(choice, requires_grad=learns is not Learns.RANGES)
        self.range_logits = nn.Parameter(ranges, requires_grad=learns is not Learns.CHOICE)
        transforms = [TRANSFORMS[operation] for operation in self.operations]
        # Row 0 stands for the identity.
        signs = [False, *(t.signed for t in transforms)]
        self.register_buffer("signed", torch.tensor(signs), persistent=False)
        blends = [False, *(t.strength is Strength.BLEND for t in transforms)]
        self.register_buffer("blend", torch.tensor(blends), persistent=False)

    signed: Tensor
    blend: Tensor

    @property
    def probabilities(self) -> Tensor:
        """pi (K + 1,), identity first."""
        return self.choice_logits.softmax(0)

    @property
    def ranges(self) -> Tensor:
        """r (K,), in (0, 1)."""
        return self.range_logits.sigmoid()

    def draw(self, size: int, generator: Generator) -> Draw:
        """Choices from pi, strengths uniform; no gradient."""
        choice = choices(self.choice_logits, size, generator)
        return self._with_strength(choice, generator)

    def draw_all(self, size: int, generator: Generator) -> Draw:
        """Every choice for every image: ((K + 1) B,), choice by choice."""
        choice = torch.arange(len(self.operations) + 1, device=generator.device).repeat_interleave(size)
        return self._with_strength(choice, generator)

    def augment(self, x: Tensor, draw: Draw, generator: Generator | None = None) -> Tensor:
        """Pure in x and draw (the generator only places cutout); differentiable in x and in the ranges."""
        choice = draw.choice.to(x.device)
        ranges = torch.cat((self.ranges.new_zeros(1), self.ranges))
        share = torch.where(self.signed[choice], draw.strength, draw.strength.abs())
        value = torch.where(self.blend[choice], torch.ones_like(share), share * ranges[choice])
        return apply_mixed(self._table, draw.choice - 1, x, value, generator)

    def loss(self, loss_of: LossOf, x: Tensor, mixing: Mixing, generator: Generator) -> Tensor:
        """E_{k ~ pi, u} of the mean loss of the augmented images, 0-d, differentiable in pi and r.

        EXACT: sum_k pi_k mean_b CE(op_k(x_b)).
        SAMPLED: sum_b w_b CE_b / sum_b w_b with k_b ~ pi and w_b = pi_{k_b} / stopgrad(pi_{k_b}). The value
        is the plain mean; the gradient with respect to the logits is mean_b (CE_b - mean CE) grad log
        pi_{k_b}, the score function with the batch mean as its baseline. An image is part of its own
        baseline, so the gradient is (1 - 1/B) times the true one: a bias of O(1/B) in length, none in sign.
        """
        if mixing is Mixing.EXACT:
            draw = self.draw_all(len(x), generator)
            choices = len(self.operations) + 1
            copies = x.repeat(choices, *[1] * (x.dim() - 1))
            losses = loss_of(self.augment(copies, draw, generator))
            return (self.probabilities * losses.reshape(choices, len(x)).mean(1)).sum()
        draw = self.draw(len(x), generator)
        losses = loss_of(self.augment(x, draw, generator))
        chosen = self.probabilities[draw.choice.to(x.device)]
        weights = chosen / chosen.detach()
        return (weights * losses).sum() / weights.sum()

    def _with_strength(self, choice: Tensor, generator: Generator) -> Draw:
        strength = torch.rand(len(choice), generator=generator, device=generator.device) * 2 - 1
        # The choice stays where it was drawn: `apply_mixed` groups images on the host.
        return Draw(choice, strength.to(self.choice_logits.device, self.choice_logits.dtype))


def fixed_policy(operations: Sequence[Operation], choice_logits: Tensor, range_logits: Tensor) -> Policy:
    """The policy that logits (K + 1,) and (K,) stand for.

    Raises:
        NotFiniteError: the search has diverged; only sampled choices would have told before.
    """
    require_finite(choice_logits, range_logits)
    weights = choice_logits.detach().double().softmax(0).tolist()[1:]
    return mixture(operations, weights, range_logits.detach().double().sigmoid().tolist())
