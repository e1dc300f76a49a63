"""AugNet's selection (Rommel, Moreau, Gramfort 2022): of several operations the one that is worth it.

Axes: B inputs (B, *shape), Q operations.
"""

from __future__ import annotations

import math
from dataclasses import replace
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, nn

from tracking.errors import UserError
from trainables.modules.augmentation.layer import AugmentationLayer, LearnedRange


class Selection(StrEnum):
    """How the choice is trained; used, it is always one operation per input, drawn by weight."""

    SOFT = "soft"      # the mixture sum_k w_k op_k(x), as published: Q operations' work
    GUMBEL = "gumbel"  # one drawn operation per input, the weights' gradient straight through: one operation's work

COLDEST = 1e-3  # temperature: a tenth of the published one; far below it a / T is no number
OUT = 1e6  # taken from the scores of operations that are switched off


class SelectLayer(AugmentationLayer):
    """One of a layer's operations, with weights w = softmax(a / T).

    In training, SOFT gives sum_k w_k op_k(x), each operation alone, all in one call of the layer on Q B inputs; in
    evaluation each input gets one operation k ~ w. With GUMBEL training does so too: factors e_k on the strengths, e
    one hot in the forward pass and softmax(a / T + g) with Gumbel noise g in the backward pass.

    Deviation from the paper: an operation is drawn for every input, not one for the whole batch.

    Args:
        layer: the operations, with their ranges.
        temperature: T >= COLDEST. At the published 0.01 a difference of 0.05 in the logits is a weight of 0.99.
        mode: of training.

    Raises:
        UserError: a lower temperature.
    """

    def __init__(
        self, layer: AugmentationLayer, temperature: float = 0.01, mode: Selection = Selection.SOFT
    ) -> None:
        super().__init__()
        if not COLDEST <= temperature < math.inf:
            raise UserError(f"the temperature of a choice is {COLDEST:g} at least, and finite", temperature)
        self.layer, self.temperature, self.mode = layer, temperature, mode
        self.logits = nn.Parameter(torch.ones(len(layer.shares)))

    def configuration(self) -> dict[str, Any]:
        return {**super().configuration(), "temperature": float(self.temperature), "mode": str(self.mode)}

    def noise_size(self) -> int:
        return self.layer.noise_size() + len(self.logits)

    @property
    def shares(self) -> Tensor:
        return self.layer.shares

    @property
    def gates(self) -> Tensor:
        """w (Q,), sums to 1."""
        return (self.logits / self.temperature).softmax(0)

    def learned(self) -> tuple[LearnedRange, ...]:
        weights = self.gates.detach().tolist()
        return tuple(replace(one, weight=w) for one, w in zip(self.layer.learned(), weights, strict=True))

    def check(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        self.layer.check(shape, dtype)

    def augment(self, x: Tensor, noise: Tensor, active: Tensor | None = None) -> Tensor:
        self.require(x, noise)
        own, choice = torch.split(noise, [self.layer.noise_size(), len(self.logits)], -1)
        if self.training and self.mode is Selection.SOFT:
            return self._mixture(x, own, active)
        chosen = self._drawn(choice, active)
        return self.layer.augment(x, own, chosen if active is None else chosen * active)

    def _mixture(self, x: Tensor, noise: Tensor, active: Tensor | None) -> Tensor:
        count = len(self.logits)
        alone = torch.eye(count, dtype=noise.dtype, device=noise.device).repeat_interleave(len(x), 0)
        alone = alone if active is None else alone * active.repeat(count, 1)
        copies = x.expand(count, *x.shape).flatten(0, 1)
        made = self.layer.augment(copies, noise.repeat(count, 1), alone).reshape(count, -1)
        with torch.autocast(x.device.type, enabled=False):
            return torch.mv(made.T, self.gates.to(made.dtype)).reshape(x.shape)

    def _drawn(self, noise: Tensor, active: Tensor | None) -> Tensor:
        """One hot (B, Q), among what is active, by the Gumbel-max trick; in training with the relaxed gradient."""
        tiny = torch.finfo(noise.dtype).tiny
        gumbel = -(-noise.clamp_min(tiny).log()).clamp_min(tiny).log()
        scores = self.logits / self.temperature + gumbel
        if active is not None:
            scores = scores - OUT * (active == 0)
        best = scores.argmax(-1, keepdim=True)  # `one_hot` reads values on the host, which `vmap` of gradients refuses
        hard = (best == torch.arange(len(self.logits), device=best.device)).to(noise.dtype)
        if not self.training:
            return hard
        soft = scores.softmax(-1)
        return hard + (soft - soft.detach())
