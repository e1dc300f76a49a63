"""Network and augmentation layer trained together on train + outer, one step each per update, on the same batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from tracking.cost import Phase
from trainables.method import Context, Slice, State
from trainables.modules.augmentation import AugmentationLayer, Patience, ToleranceController
from trainables.modules.layer_training import LayerTraining
from trainables.modules.recipe import RecipeConfig
from trainables.modules.supervised import mean_metrics

PROBE_INTERVAL = 10  # updates between looks at the loss without augmentation


class JointTraining(LayerTraining):
    """A complete `Method`: J = loss(f(a(x)), y) - weight * reward(a), descended in f and in a.

    Args:
        rates: learning rates of the layer's parameters, by parameter.
        reward: of the layer for inputs (B, *shape), 0-d, to be made large.
        weight: of the reward, >= 0.
        controller: sets the weight in its place.
        patience: the layer stays as it is before it is over.
    """

    def __init__(
        self, context: Context, recipe: RecipeConfig, layer: AugmentationLayer, rates: Mapping[nn.Parameter, float],
        reward: Callable[[Tensor], Tensor], weight: float, controller: ToleranceController | None = None,
        patience: Patience | None = None,
    ) -> None:
        super().__init__(context, recipe, layer, rates)
        self._reward, self._weight, self._controller, self._patience = reward, weight, controller, patience

    def step(self) -> Slice:
        updates = [self._update() for _ in range(self._updates_left())]
        metrics = mean_metrics({
            "train/loss": [loss for loss, _ in updates], "train/reward": [reward for _, reward in updates],
        })
        if self._controller is not None:
            metrics["train/reward_weight"] = float(self._controller.weight)
        return Slice(metrics, Phase.TRAIN, ready=True, done=self.trunk.finished)

    def _more_state(self) -> State:
        return {name: part.state_dict() for name, part in self._steering().items()}

    def _load_more(self, state: State) -> None:
        for name, part in self._steering().items():
            part.load_state_dict(state[name])

    def _steering(self) -> dict[str, ToleranceController | Patience]:
        parts = {"controller": self._controller, "patience": self._patience}
        return {name: part for name, part in parts.items() if part is not None}

    def _paid(self) -> Tensor | float:
        """The reward's weight of now."""
        return self._weight if self._controller is None else self._controller.weight

    def _begun(self) -> Tensor | None:
        """1 once the layer may move, 0 before; None where it always may."""
        return None if self._patience is None else self._patience.over

    def warnings(self) -> Sequence[str]:
        if self._patience is None or not self.trunk.finished or bool(self._patience.over):
            return ()
        return ("nothing was learned about the ranges: the loss never fell to half of its first value; "
                "train longer or raise `learning_rate`",)

    def _update(self) -> tuple[Tensor, Tensor]:
        progress = self.trunk.progress
        self._remember()
        x, y = self._rule.batch(self._order, self._recipe.batch_size, progress)
        plain = self._without(x, y)
        with self._context.meter.unit("update", x.shape, phase=Phase.TRAIN, examples=len(x)):
            augmented = self.layer(x, self.layer.sample(len(x), self._noise))
            loss = self._rule.loss(self.trunk.outputs(augmented), y, progress).mean()
            reward = self._reward(x)
            if self._controller is not None and plain is not None:
                self._controller.update(loss.detach(), plain, self._begun())
            if self._patience is not None:
                self._patience.update(loss.detach())
            weights = tuple(self.trunk.network.parameters())
            gradients = torch.autograd.grad(loss - self._paid() * reward, (*weights, *self._learned))
            self.trunk.update(gradients[: len(weights)])
            self._adam.update(gradients[len(weights) :], begun=self._begun())
            self._trained_on(x)
        return loss.detach(), reward.detach()

    def _trained_on(self, x: Tensor) -> None:
        """For layers that keep something of the inputs they were trained on."""

    def _without(self, x: Tensor, y: Tensor) -> Tensor | None:
        """The loss on inputs as they are, at every so many updates, for the controller."""
        if self._controller is None or self.trunk.cursor % PROBE_INTERVAL:
            return None
        with self._context.meter.unit("probe", x.shape, phase=Phase.TRAIN), torch.no_grad():
            return self._rule.loss(self.trunk.outputs(x), y, self.trunk.progress).mean()
