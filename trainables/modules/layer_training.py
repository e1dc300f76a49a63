"""What all methods with a learned augmentation layer have in common, whatever moves its ranges."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from trainables.method import Context, Role, State
from trainables.modules.adam import Adam
from trainables.modules.augmentation import AugmentationLayer
from trainables.modules.augmentation.takeaway import ROWS, export
from trainables.modules.imbalance import ImbalanceRule
from trainables.modules.recipe import RecipeConfig
from trainables.modules.state import generators_state, load_generators, module_state, require_like
from trainables.modules.trunk import Trunk
from trainables.problems.problem import Batch

MOST_POINTS = 200  # of the ranges' curves


class LayerTraining:
    """Network, layer, their optimisers, the ranges' curves, and the state of all of it; `step` is the subclasses'.

    `predict` is the network alone, on the input as it is; averaging over the layer's own copies is the harness's
    business, through `sample`.

    Args:
        context: problem, horizon, seeds, meter.
        recipe: of the network's training.
        layer: the augmentation.
        rates: Adam's learning rates, by parameter.
    """

    def __init__(
        self, context: Context, recipe: RecipeConfig, layer: AugmentationLayer, rates: Mapping[nn.Parameter, float]
    ) -> None:
        self._context, self._recipe, self.layer = context, recipe, layer
        self.trunk = Trunk(recipe.network(context), recipe, context.horizon)
        self._rule = ImbalanceRule(context, recipe.imbalance)
        self._adam, self._learned = Adam(rates), tuple(rates)
        self._order, self._noise, self._search = (
            context.generator(role) for role in (Role.ORDER, Role.AUGMENT, Role.SEARCH)
        )
        self._every = -(-context.horizon // MOST_POINTS)
        points = -(-context.horizon // self._every)
        self._history = torch.zeros(points, len(layer.shares), device=context.device)

    def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
        return self.trunk.predict(x)

    def deployed(self) -> nn.Module:
        return self.trunk.network

    def sample(self, x: Tensor, generator: Generator) -> Tensor:
        return self.layer.draw(x, generator)

    def describe(self) -> Mapping[str, float]:
        return described(self.layer)

    def export(self, folder: Path) -> Mapping[str, str]:
        """See `augmentation.takeaway`."""
        done = -(-self.trunk.cursor // self._every)
        steps, examples = torch.arange(done) * self._every, shown_inputs(self._context)
        return export(self.layer, self._history[:done].cpu(), steps, examples, folder)

    def state_dict(self) -> State:
        return {
            "trunk": self.trunk.state_dict(),
            "layer": module_state(self.layer),
            "adam": self._adam.state_dict(),
            "history": self._history.clone(),
            "more": self._more_state(),
            "generators": generators_state((self._order, self._noise, self._search)),
        }

    def load_state_dict(self, state: State) -> None:
        require_like(self.state_dict(), state)
        self.trunk.check_state(state["trunk"])
        self.trunk.load_state_dict(state["trunk"])
        self.layer.load_state_dict(state["layer"])
        self._adam.load_state_dict(state["adam"])
        self._history.copy_(state["history"])
        self._load_more(state["more"])
        load_generators((self._order, self._noise, self._search), state["generators"])

    def _more_state(self) -> State:
        """What a subclass changes beside all this."""
        return {}

    def _load_more(self, state: State) -> None:
        pass

    def _remember(self) -> None:
        """A point of the curves, before an update."""
        if self.trunk.cursor % self._every == 0:
            self._history[self.trunk.cursor // self._every] = self.layer.shares.detach()

    def _updates_left(self) -> int:
        """Of this slice."""
        return min(self._context.slice_updates, self.trunk.horizon - self.trunk.cursor)


def shown_inputs(context: Context) -> Tensor:
    """A few of the problem's inputs, (ROWS, *shape)."""
    return context.problem.unlabelled(context.generator(Role.ORDER, 1), ROWS).to(context.device)


def described(layer: AugmentationLayer) -> dict[str, float]:
    """Half-widths with units and probabilities, by operation."""
    found = {}
    for one in layer.learned():
        what = f"width_{one.unit.replace(' ', '_')}" if one.unit else "probability"
        found[f"{one.name}/{what}"] = one.high
    return found
