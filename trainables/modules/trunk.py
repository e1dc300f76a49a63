"""A network with its optimiser and its place on the schedule."""

from __future__ import annotations

import math
from enum import StrEnum

import torch
from torch import Tensor, nn

from trainables.method import State
from trainables.modules.fast_stem import FastStem
from trainables.modules.recipe import Decay, RecipeConfig
from trainables.modules.state import (
    load_optimiser,
    module_state,
    optimiser_state,
    require_cursor,
    require_like,
)

PREDICT_CHUNK = 512  # inputs per forward pass: bounds memory


class Schedule(StrEnum):
    """What follows the linear warm-up."""

    DECAY = "decay"        # as the recipe says
    CONSTANT = "constant"  # for a search, which needs a network that keeps on learning


class Trunk:
    """Weights, SGD with Nesterov momentum, and a cursor that the learning rate depends on.

    Args:
        network: (B, *shape) -> (B, outputs); trained in place.
        recipe: learning rate, its warm-up and decay, momentum, weight decay.
        horizon: planned length in updates.
        schedule: what the learning rate does after warm-up.
    """

    def __init__(
        self, network: nn.Module, recipe: RecipeConfig, horizon: int, schedule: Schedule = Schedule.DECAY
    ) -> None:
        self.network = network.train()
        self.horizon = horizon
        self.cursor = 0
        self._recipe, self._schedule = recipe, schedule
        device = next(network.parameters()).device
        self._fast = FastStem(network, device, recipe.precision, recipe.compiling)
        self._optimiser = torch.optim.SGD(
            network.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum,
            nesterov=recipe.momentum > 0, weight_decay=recipe.weight_decay, foreach=True,
        )
        if recipe.momentum > 0:
            # Zero buffers give the same first step as none; a state then has one layout from the start.
            for parameter in network.parameters():
                self._optimiser.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)

    @property
    def finished(self) -> bool:
        return self.cursor >= self.horizon

    @property
    def progress(self) -> float:
        """Share of the horizon that is over."""
        return self.cursor / self.horizon

    @property
    def learning_rate(self) -> float:
        """Of the next update."""
        rise = min(1.0, (self.cursor + 1) / max(1.0, self._recipe.warm_up * self.horizon))
        if self._schedule is Schedule.CONSTANT:
            return self._recipe.learning_rate * rise
        if self._recipe.learning_rate_decay is Decay.STEPS:
            passed = sum(self.progress >= drop for drop in self._recipe.drops)
            return self._recipe.learning_rate * rise * self._recipe.drop_factor**passed
        return self._recipe.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * self.cursor / self.horizon))

    def outputs(self, x: Tensor) -> Tensor:
        """(B, *shape) -> (B, outputs) for training, in float32; on a GPU in mixed precision and compiled."""
        return self._fast(x)

    def update(self, gradients: tuple[Tensor, ...]) -> None:
        """One optimiser step; `gradients` in the order of `network.parameters()`."""
        for parameter, gradient in zip(self.network.parameters(), gradients, strict=True):
            parameter.grad = gradient
        for group in self._optimiser.param_groups:
            group["lr"] = self.learning_rate
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        self.cursor += 1

    def predict(self, x: Tensor) -> Tensor:
        """(B, *shape) -> (B, outputs) in evaluation mode, without gradients; changes nothing."""
        training = self.network.training
        self.network.eval()
        try:
            with torch.no_grad():
                return torch.cat([self.network(chunk) for chunk in torch.split(x, PREDICT_CHUNK)])
        finally:
            self.network.train(training)

    def state_dict(self) -> State:
        return {**self.weights_state(), "cursor": self.cursor}

    def weights_state(self) -> State:
        """Weights and momentum, without the place on the schedule."""
        return {"network": module_state(self.network), "optimiser": optimiser_state(self._optimiser)}

    def load_weights(self, state: State) -> None:
        """Back to what `weights_state` gave; the schedule goes on."""
        self.network.load_state_dict(state["network"])
        load_optimiser(self._optimiser, state["optimiser"])

    def check_state(self, state: State) -> None:
        """Raises StateMismatchError; changes nothing."""
        require_like(self.state_dict(), state, "state.trunk")
        require_cursor(state["cursor"], self.horizon)

    def load_state_dict(self, state: State) -> None:
        """Take over a state that `check_state` accepts."""
        self.check_state(state)
        self.load_weights(state)
        self.cursor = state["cursor"]
