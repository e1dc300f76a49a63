"""The mean of parameters over the end of a search: single iterates wander."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trainables.method import State


class TailAverage:
    """Of some parameters, in double precision.

    Args:
        parameters: read at every `add`.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = tuple(parameters)
        self._sums = [torch.zeros_like(p, dtype=torch.float64) for p in self._parameters]
        self._count = 0

    def add(self) -> None:
        """The values of now."""
        for total, value in zip(self._sums, self._parameters, strict=True):
            total += value.detach()
        self._count += 1

    def values(self) -> tuple[Tensor, ...]:
        """The mean of what was added; before anything was, the values of now."""
        return tuple(total / self._count for total in self._sums) if self._count else self._parameters

    def state_dict(self) -> State:
        return {"sums": [total.clone() for total in self._sums], "count": self._count}

    def load_state_dict(self, state: State) -> None:
        """Take over a state of the same layout."""
        self._sums, self._count = [total.clone() for total in state["sums"]], state["count"]
