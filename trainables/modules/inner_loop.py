"""Adaptation to tasks: SGD on a network's fast weights, all tasks of a batch at once, differentiable throughout.

Axes: T tasks, S support and Q query examples of each, K outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from trainables.problems.problem import Batch

Weights = Mapping[str, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]  # (B, K), (B, ...) -> (B,)


@dataclass(frozen=True, slots=True)
class InnerLoop:
    """v <- v - a grad_v L(U, v, support), repeated (MAML, Finn et al. 2017; MSR's inner loop).

    Args:
        network: called with weights from outside; its own are never used.
        loss: per example.
        steps: gradient steps.
        first_order: whether the outer gradient takes these gradients for constants.
    """

    network: nn.Module
    loss: Loss
    steps: int
    first_order: bool = False

    def adapted(self, fast: Weights, slow: Weights, rates: Weights, support: Batch) -> dict[str, Tensor]:
        """One task's fast weights.

        Args:
            fast: what adapts; `slow`: what does not, patterns and buffers.
            rates: step size of each tensor in `fast`, 0-d; a tensor without one stays.
            support: x (S, *shape), y (S, ...).
        """
        moved = dict(fast)
        names = [name for name in fast if name in rates]

        def support_loss(adapting: dict[str, Tensor], rest: dict[str, Tensor]) -> Tensor:
            outputs = functional_call(self.network, {**slow, **rest, **adapting}, (support.x,))
            return self.loss(outputs, support.y).mean()

        for _ in range(self.steps):
            adapting = {name: moved[name] for name in names}
            rest = {name: value for name, value in moved.items() if name not in rates}
            gradients = grad(support_loss)(adapting, rest)
            for name in names:
                gradient = gradients[name].detach() if self.first_order else gradients[name]
                moved[name] = moved[name] - rates[name] * gradient
        return moved

    def query_losses(self, fast: Weights, slow: Weights, rates: Weights, support: Batch, query: Batch) -> Tensor:
        """Mean query loss of each task after adaptation, (T,).

        Args:
            support: x (T, S, *shape), y (T, S, ...); `query` likewise with Q.
        """

        def one(sx: Tensor, sy: Tensor, qx: Tensor, qy: Tensor) -> Tensor:
            moved = self.adapted(fast, slow, rates, Batch(sx, sy))
            return self.loss(functional_call(self.network, {**slow, **moved}, (qx,)), qy).mean()

        return vmap(one)(support.x, support.y, query.x, query.y)

    def outputs(self, fast: Weights, slow: Weights, rates: Weights, support: Batch, x: Tensor) -> Tensor:
        """(T, Q, K) of queries x (T, Q, *shape) after adaptation."""

        def one(sx: Tensor, sy: Tensor, qx: Tensor) -> Tensor:
            moved = self.adapted(fast, slow, rates, Batch(sx, sy))
            return functional_call(self.network, {**slow, **moved}, (qx,))  # type: ignore[no-any-return]

        with torch.no_grad():
            return vmap(one)(support.x, support.y, x)

    def weights(self, fast: Weights, slow: Weights, rates: Weights, support: Batch) -> dict[str, Tensor]:
        """Each task's fast weights after adaptation, (T, ...)."""

        def one(sx: Tensor, sy: Tensor) -> dict[str, Tensor]:
            return self.adapted(fast, slow, rates, Batch(sx, sy))

        with torch.no_grad():
            return vmap(one)(support.x, support.y)
