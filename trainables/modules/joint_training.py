"""Network and augmentation layer trained together on train + outer, one step each per update, on the same batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from tracking.cost import Phase
from trainables.method import Context, Role, Slice, State
from trainables.modules.adam import Adam
from trainables.modules.augmentation import AugmentationLayer, ToleranceController
from trainables.modules.augmentation.takeaway import ROWS, export
from trainables.modules.recipe import RecipeConfig
from trainables.modules.state import generators_state, load_generators, module_state, require_like
from trainables.modules.supervised import draw, mean_metrics
from trainables.modules.trunk import Trunk
from trainables.problems.problem import Batch

MOST_POINTS = 200    # of the ranges' curves
PROBE_INTERVAL = 10  # updates between looks at the loss without augmentation


class JointTraining:
    """A complete `Method`: J = loss(f(a(x)), y) - weight * reward(a), descended in f and in a.

    `predict` is the network alone, on the input as it is; averaging over the layer's own copies is the harness's
    business, through `sample`.

    Args:
        context: problem, horizon, seeds, meter.
        recipe: the shared training recipe.
        layer: a; trained by Adam.
        rates: learning rates of the layer's parameters, by parameter.
        reward: of the layer for inputs (B, *shape), 0-d, to be made large.
        weight: of the reward, >= 0.
        controller: sets the weight in its place.
    """

    def __init__(
        self, context: Context, recipe: RecipeConfig, layer: AugmentationLayer, rates: Mapping[nn.Parameter, float],
        reward: Callable[[Tensor], Tensor], weight: float, controller: ToleranceController | None = None,
    ) -> None:
        self._context, self._recipe, self.layer = context, recipe, layer
        self.trunk = Trunk(recipe.network(context), recipe, context.horizon)
        self._adam = Adam(rates)
        self._learned = tuple(rates)
        self._reward, self._weight, self._controller = reward, weight, controller
        self._order, self._noise = context.generator(Role.ORDER), context.generator(Role.AUGMENT)
        self._every = -(-context.horizon // MOST_POINTS)
        points = -(-context.horizon // self._every)
        self._history = torch.zeros(points, len(layer.shares), device=context.device)

    def step(self) -> Slice:
        updates = min(self._context.slice_updates, self.trunk.horizon - self.trunk.cursor)
        losses, rewards = zip(*(self._update() for _ in range(updates)), strict=True)
        metrics = mean_metrics({"train/loss": list(losses), "train/reward": list(rewards)})
        if self._controller is not None:
            metrics["train/reward_weight"] = float(self._controller.weight)
        return Slice(metrics, Phase.TRAIN, ready=True, done=self.trunk.finished)

    def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
        return self.trunk.predict(x)

    def sample(self, x: Tensor, generator: Generator) -> Tensor:
        return self.layer.draw(x, generator)

    def describe(self) -> Mapping[str, float]:
        return described(self.layer)

    def export(self, folder: Path) -> Mapping[str, str]:
        """See `augmentation.takeaway`."""
        problem, done = self._context.problem, -(-self.trunk.cursor // self._every)
        images = None
        if len(problem.shape) == 3:
            images = problem.unlabelled(self._context.generator(Role.ORDER, 1), ROWS).to(self._context.device)
        steps = torch.arange(done) * self._every
        return export(self.layer, self._history[:done].cpu(), steps, images, folder)

    def state_dict(self) -> State:
        return {
            "trunk": self.trunk.state_dict(),
            "layer": module_state(self.layer),
            "adam": self._adam.state_dict(),
            "history": self._history.clone(),
            "controller": {} if self._controller is None else self._controller.state_dict(),
            "generators": generators_state((self._order, self._noise)),
        }

    def load_state_dict(self, state: State) -> None:
        require_like(self.state_dict(), state)
        self.trunk.check_state(state["trunk"])
        self.trunk.load_state_dict(state["trunk"])
        self.layer.load_state_dict(state["layer"])
        self._adam.load_state_dict(state["adam"])
        self._history.copy_(state["history"])
        if self._controller is not None:
            self._controller.load_state_dict(state["controller"])
        load_generators((self._order, self._noise), state["generators"])

    def _update(self) -> tuple[Tensor, Tensor]:
        context = self._context
        if self.trunk.cursor % self._every == 0:
            self._history[self.trunk.cursor // self._every] = self.layer.shares.detach()
        x, y = draw(context, self._order, self._recipe.batch_size)
        plain = self._without(x, y)
        with context.meter.unit("update", x.shape, phase=Phase.TRAIN, examples=len(x)):
            augmented = self.layer(x, self.layer.sample(len(x), self._noise))
            loss = context.problem.loss(self.trunk.outputs(augmented), y).mean()
            reward = self._reward(x)
            if self._controller is not None and plain is not None:
                self._controller.update(loss.detach(), plain)
            weight = self._weight if self._controller is None else self._controller.weight
            weights = tuple(self.trunk.network.parameters())
            gradients = torch.autograd.grad(loss - weight * reward, (*weights, *self._learned))
            self.trunk.update(gradients[: len(weights)])
            self._adam.update(gradients[len(weights) :])
            self._trained_on(x)
        return loss.detach(), reward.detach()

    def _trained_on(self, x: Tensor) -> None:
        """For layers that keep something of the inputs they were trained on."""

    def _without(self, x: Tensor, y: Tensor) -> Tensor | None:
        """The loss on inputs as they are, at every so many updates, for the controller."""
        if self._controller is None or self.trunk.cursor % PROBE_INTERVAL:
            return None
        with self._context.meter.unit("probe", x.shape, phase=Phase.TRAIN), torch.no_grad():
            return self._context.problem.loss(self.trunk.outputs(x), y).mean()


def described(layer: AugmentationLayer) -> dict[str, float]:
    """Half-widths with units and probabilities, by operation."""
    found = {}
    for one in layer.learned():
        what = f"width_{one.unit.replace(' ', '_')}" if one.unit else "probability"
        found[f"{one.name}/{what}"] = one.high
    return found
