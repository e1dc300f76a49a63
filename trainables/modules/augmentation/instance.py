"""Ranges that depend on the input (the class of InstaAug, Miao et al. 2022): a small network says how far each may go.

Axes: B inputs (B, *shape), Q operations.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from tracking.errors import UserError
from trainables.modules.augmentation.layer import AugmentationLayer, LearnedRange
from trainables.modules.augmentation.reward import LEAST


class InstanceRanges(AugmentationLayer):
    """Strengths v_k ~ U(-r_k(x), r_k(x)) with r_k(x) = s_k(x) r_k, s(x) in (0, 1) from a small network.

    The layer's own r_k are caps and stay as they are; what is learned is s. Its gradient flows through the strengths of
    every input, so inputs that bear more are given more.

    Deviation from the paper: ranges of named operations instead of a distribution over crops; the entropy is the mean
    logarithm of s, of which each input has its own.

    Args:
        layer: gives operations, caps and units; its parameters are frozen.
        shape: of one input, (C, H, W) or (C, L).
        start: of every s.
        width: channels of the network.

    Raises:
        UserError: a start outside (0, 1), or inputs that the layer is not for.
    """

    def __init__(self, layer: AugmentationLayer, shape: tuple[int, ...], start: float = 1 / 8, width: int = 8) -> None:
        super().__init__()
        if not 0 < start < 1:
            raise UserError("a share starts between 0 and 1, both excluded", start)
        layer.check(tuple(shape), torch.float32)
        self.layer, self.shape, self.width = layer.requires_grad_(False), tuple(shape), width
        convolution, pool = (nn.Conv2d, nn.AdaptiveAvgPool2d) if len(shape) == 3 else (nn.Conv1d, nn.AdaptiveAvgPool1d)
        head = nn.Linear(width, len(layer.shares))
        nn.init.zeros_(head.weight)  # every input begins with the same ranges
        nn.init.constant_(head.bias, math.log(start / (1 - start)))
        self.network = nn.Sequential(
            convolution(shape[0], width, 5, stride=2, padding=2), nn.ReLU(),
            convolution(width, width, 5, stride=2, padding=2), nn.ReLU(), pool(1), nn.Flatten(), head,
        )
        self.register_buffer("mean", torch.full((len(layer.shares),), start))

    mean: Tensor

    @property
    def by_input(self) -> bool:
        return True

    def configuration(self) -> dict[str, Any]:
        return {**super().configuration(), "shape": list(self.shape), "width": self.width}

    def noise_size(self) -> int:
        return self.layer.noise_size()

    @property
    def shares(self) -> Tensor:
        """(Q,) running means over inputs, in units of the inner layer's caps; without a gradient, see `entropy`."""
        return self.mean * self.layer.shares

    def of(self, x: Tensor) -> Tensor:
        """s (B, Q) of inputs."""
        return self.network(x.to(self.mean.dtype)).sigmoid()  # type: ignore[no-any-return]

    def entropy(self, x: Tensor) -> Tensor:
        """mean_b sum_k log s_k(x_b), 0-d: the reward, to be made large."""
        return self.of(x).clamp_min(LEAST).log().sum(-1).mean()

    def learned(self) -> tuple[LearnedRange, ...]:
        """Of an average input."""
        return tuple(
            LearnedRange(one.name, one.unit, one.low * s, one.high * s, one.cap, one.weight)
            for one, s in zip(self.layer.learned(), self.mean.tolist(), strict=True)
        )

    def check(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        self.layer.check(shape, dtype)
        if len(shape) != len(self.shape) or shape[0] != self.shape[0]:
            raise UserError(f"these ranges were made for inputs like {self.shape}", tuple(shape),
                            "another number of channels takes another network")

    def augment(self, x: Tensor, noise: Tensor, active: Tensor | None = None) -> Tensor:
        self.require(x, noise)
        shares = self.of(x)
        return self.layer.augment(x, noise, shares if active is None else shares * active)

    def remember(self, x: Tensor, rate: float = 0.1) -> None:
        """Move the running means towards those of a batch; training calls it, `augment` changes nothing."""
        with torch.no_grad():
            self.mean.lerp_(self.of(x).mean(0).to(self.mean), rate)
