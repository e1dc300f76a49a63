"""A view that keeps what was drawn, and a network in which everything is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from typing import Any

from torch import Generator, Tensor, nn

from trainables.contract_toy import toy_context
from trainables.contract_trace import with_view
from trainables.method import Context, NetworkBuilder
from trainables.problems.problem import Batch, Split, View

Changes = Mapping[Split, Callable[[Tensor], Tensor]]


class Recorded:
    """A view that keeps every batch with the splits that it was asked for.

    Args:
        changes: what a split's images look like to the method, where it differs.
    """

    def __init__(self, view: View, changes: Changes | None = None) -> None:
        self._view, self._changes = view, changes or {}
        self.drawn: list[tuple[tuple[Split, ...], Batch]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)

    def draw(self, generator: Generator, size: int, *splits: Split) -> Batch:
        x, y = self._view.draw(generator, size, *splits)
        for split in splits:
            x = self._changes[split](x) if split in self._changes else x
        batch = Batch(x, y)
        self.drawn.append((splits, batch))
        return batch

    def last(self, *splits: Split) -> Batch:
        """The latest batch of exactly these splits."""
        return next(batch for asked, batch in reversed(self.drawn) if asked == splits)


def recorded(
    horizon: int, changes: Changes | None = None, network: NetworkBuilder | None = None, seed: int = 0
) -> tuple[Context, Recorded]:
    """The toy with its view recorded."""
    context = replace(toy_context(seed), horizon=horizon)
    if network is not None:
        context = replace(context, network=network)
    view = Recorded(context.problem, changes)
    return with_view(context, view), view


def softmax_regression(shape: tuple[int, ...], outputs: int) -> nn.Module:
    """One linear layer: its gradients and its Hessian can be written down."""
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), outputs))


def upside_down(x: Tensor) -> Tensor:
    """What FLIP_VERTICAL does; on the toy it makes the top class look like the bottom one."""
    return x.flip(-2)
