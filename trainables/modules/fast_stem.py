"""A network's forward pass for training where there is a GPU: bfloat16 and compiled, without losing the cost account.

Only what is expensive and insensitive goes through here: the descriptor-free part. Features, losses and the optimiser
stay in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import cast

import torch
from torch import Tensor, nn


class Precision(StrEnum):
    """Of the forward pass; weights are float32 always."""

    AUTO = "auto"    # mixed on a GPU, full elsewhere
    FULL = "full"
    MIXED = "mixed"  # bfloat16 where autocast finds it safe


class Compiling(StrEnum):
    """Whether `torch.compile` is used; a compiler must be there."""

    AUTO = "auto"  # on a GPU
    ON = "on"
    OFF = "off"


class FastStem:
    """x -> network(x) in the precision of the weights, whatever it is computed in.

    The first call of a process is never compiled: FLOPs are counted by what it dispatches, and a compiled call
    dispatches nothing that could be counted.

    Args:
        network: is trained in place.
        device: where it is.
    """

    def __init__(self, network: nn.Module, device: torch.device, precision: Precision, compiling: Compiling) -> None:
        gpu = device.type == "cuda"
        self.mixed = precision is Precision.MIXED or (precision is Precision.AUTO and gpu)
        self.compiled = compiling is Compiling.ON or (compiling is Compiling.AUTO and gpu)
        self._network, self._device = network, device
        self._call: Callable[[Tensor], Tensor] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        call = self._call or self._network
        if self.compiled and self._call is None:
            self._call = cast(Callable[[Tensor], Tensor], torch.compile(self._network))
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self.mixed):
            y: Tensor = call(x)
        return y.float() if self.mixed else y
