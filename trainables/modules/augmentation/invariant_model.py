"""A network behind a learned augmentation, averaged over copies."""

from __future__ import annotations

import math
from enum import StrEnum
from numbers import Integral
from typing import Any

import torch
from torch import Generator, Tensor, nn

from tracking.errors import UserError
from trainables.modules.augmentation.layer import AugmentationLayer


class Aggregate(StrEnum):
    """What is averaged over copies: three different models, equal for one copy."""

    LOGPROB = "logprob"  # log p, then normalised again: a product of experts (AugNet, Augerino, up to the constant)
    PROB = "prob"        # p: a mixture, E_g p(y | g x)
    LOGIT = "logit"      # outputs before the softmax (LILA)


class InvariantModel(nn.Module):
    """log h(x) = aggregate_c log softmax f(a(x; eps_c)): always normalised log-probabilities, for any number of copies.

    A network with batch statistics sees all copies of a batch as one batch: with C training copies its statistics are
    those of the augmented inputs, C times as many.

    Args:
        trunk: f, (B, *shape) -> (B, outputs).
        augmentation: a.
        copies_train: C in training, >= 1.
        copies_eval: C in evaluation, >= 1.
        aggregate: over copies.

    Raises:
        UserError: fewer than one copy. (Without augmentation the network alone is `model.trunk`.)
    """

    def __init__(
        self, trunk: nn.Module, augmentation: AugmentationLayer, copies_train: int = 1, copies_eval: int = 4,
        aggregate: Aggregate = Aggregate.LOGPROB,
    ) -> None:
        super().__init__()
        for name, copies in (("copies_train", copies_train), ("copies_eval", copies_eval)):
            _require_copies(name, copies)
        self.trunk, self.augmentation, self.aggregate = trunk, augmentation, aggregate
        self.copies_train, self.copies_eval = copies_train, copies_eval

    @property
    def copies(self) -> int:
        """C of the present mode."""
        return self.copies_train if self.training else self.copies_eval

    def sample(self, size: int, generator: Generator) -> Tensor:
        """Noise (C, B, E) of the present mode, for one `forward`; UserError where C is no number of copies."""
        _require_copies("the number of copies", self.copies)
        noise = self.augmentation.sample(self.copies * size, generator)
        return noise.view(self.copies, size, self.augmentation.noise_size())

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """(B, *shape), (C, B, E) -> log-probabilities (B, outputs), in float32 at least, of which exp sums to one.

        Raises:
            UserError: noise of no copy or of other inputs, or a trunk that does not give (B, outputs).
        """
        expected = (len(x), self.augmentation.noise_size())
        if noise.dim() != 3 or len(noise) < 1 or tuple(noise.shape[1:]) != expected:
            raise UserError(f"noise for these inputs is (copies, {expected[0]}, {expected[1]})", tuple(noise.shape),
                            "draw it with `sample`")
        copies = len(noise)
        repeated = x.expand(copies, *x.shape).flatten(0, 1)
        outputs = self.trunk(self.augmentation(repeated, noise.flatten(0, 1)))
        if outputs.dim() != 2:
            raise UserError("copies are averaged over outputs (B, outputs)", f"the trunk gives {tuple(outputs.shape)}",
                            "average other outputs yourself: `augmentation(x, noise)` gives the copies")
        return averaged(outputs.view(copies, len(x), outputs.shape[-1]), self.aggregate)

    def parameter_groups(
        self, learning_rate: float, weight_decay: float = 0.0, augmentation_rate: float | None = None
    ) -> list[dict[str, Any]]:
        """Groups for any torch optimiser: no decay on the augmentation, which would set the ranges by itself.

        Args:
            learning_rate: of the trunk.
            weight_decay: of the trunk.
            augmentation_rate: of the augmentation's parameters; 5 times the trunk's unless given.
        """
        rate = 5 * learning_rate if augmentation_rate is None else augmentation_rate
        return [
            {"params": list(self.trunk.parameters()), "lr": learning_rate, "weight_decay": weight_decay},
            {"params": list(self.augmentation.parameters()), "lr": rate, "weight_decay": 0.0},
        ]


def _require_copies(name: str, copies: int) -> None:
    if isinstance(copies, bool) or not isinstance(copies, Integral) or copies < 1:
        raise UserError(f"{name} must be 1 at least, and whole", copies, "the network without augmentation is `.trunk`")


def averaged(outputs: Tensor, aggregate: Aggregate) -> Tensor:
    """Outputs (C, B, O) of copies -> normalised log-probabilities (B, O), in float32 at least."""
    outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))  # in half precision they sum to 1 +- 0.007
    if aggregate is Aggregate.LOGIT:
        return outputs.mean(0).log_softmax(-1)
    log_p = outputs.log_softmax(-1)
    if aggregate is Aggregate.PROB:
        return torch.logsumexp(log_p, 0) - math.log(len(outputs))
    return log_p[0] if len(log_p) == 1 else log_p.mean(0).log_softmax(-1)
