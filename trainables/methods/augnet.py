"""AugNet (Rommel, Moreau, Gramfort, 2022): a learned augmentation layer, trained jointly with the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Generator, Tensor

from spaces.domain import Float, Space
from spaces.policies import Policy
from tracking.cost import Phase
from trainables.method import Context, Method, Role, Slice, State
from trainables.modules.adam import Adam
from trainables.modules.augmentation import Reward, range_reward
from trainables.modules.augmentation.published import AugNetLayer, describe
from trainables.modules.frozen import FrozenPolicy
from trainables.modules.images import require_image
from trainables.modules.recipe import RECIPE_DOMAINS, RecipeConfig
from trainables.modules.state import generators_state, load_generators, module_state, require_like
from trainables.modules.supervised import draw, mean_metrics
from trainables.modules.trunk import Trunk
from trainables.problems.problem import Batch


class Config(RecipeConfig):
    """J = CE - reward * || mu * w ||_2 + decay * (|| mu ||^2 + || a ||^2) / 2.

    The reward pays for any operation that does no harm, and the softmax leaves room for one: which one wins
    depends on the units (the physical maxima) and on the seed. The defaults were chosen on 16x16 digits with
    a planted rotation, where it wins in about 7 of 10 seeds; on upright digits the harmless shear does.
    Compare several seeds.

    Args:
        reward: lambda >= 0.
        decay: >= 0; published: Adam's weight decay of 1 on the augmentation's parameters. Data aside, mu of a
            selected operation settles at reward / decay.
        augmentation_learning_rate: Adam's, for the range logits. The choice logits take it times the
            temperature, so that a / T moves as fast as the ranges (published: one rate for both, which
            decides the choice within about 100 updates by the gradient's sign).
        temperature: T of the choice.
        initial_range: mu at the start.
        policy: what a search found; then nothing is learned, and training is from scratch through it.
    """

    space: ClassVar[Space] = Space({
        **RECIPE_DOMAINS,
        "reward": Float(low=0.05, high=2.0, log=True),
        "augmentation_learning_rate": Float(low=0.01, high=0.2, log=True),
    })

    reward: float = Field(default=0.7, ge=0)
    decay: float = Field(default=1.0, ge=0)
    augmentation_learning_rate: float = Field(default=0.05, gt=0)
    temperature: float = Field(default=0.01, gt=0)
    initial_range: float = Field(default=0.125, gt=0, lt=1)
    policy: Policy | None = None

    def build(self, context: Context) -> Method:
        """Raises UserError where the inputs are not images."""
        require_image("augnet", context.problem.shape)
        if self.policy is not None:
            return FrozenPolicy(context, self, self.policy, describe)
        return AugNet(context, self)


class AugNet:
    """Network and layer take one step each per update, on the same batch of train + outer.

    `predict` is the network alone, on the input as it is; averaging over the layer's own copies is the
    harness's business, through `sample`. The layer is trained by the soft mixture and used by one drawn
    operation per image.
    """

    def __init__(self, context: Context, config: Config) -> None:
        self._context, self._config = context, config
        self._trunk = Trunk(config.network(context), config, context.horizon)
        self._layer = AugNetLayer(config.temperature, config.initial_range).to(context.device)
        rate = config.augmentation_learning_rate
        rates = {"logits": rate * config.temperature, "layer.ranges.logits": rate}
        self._adam = Adam({parameter: rates[name] for name, parameter in self._layer.named_parameters()})
        self._order, self._noise = context.generator(Role.ORDER), context.generator(Role.AUGMENT)

    def step(self) -> Slice:
        updates = min(self._context.slice_updates, self._trunk.horizon - self._trunk.cursor)
        losses, rewards = zip(*(self._update() for _ in range(updates)), strict=True)
        metrics = mean_metrics({"train/loss": list(losses), "train/reward": list(rewards)})
        return Slice(metrics, Phase.TRAIN, ready=True, done=self._trunk.finished)

    def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
        return self._trunk.predict(x)

    def describe(self) -> Mapping[str, float]:
        return describe(self._layer.policy())

    def sample(self, x: Tensor, generator: Generator) -> Tensor:
        return self._layer.policy().draw(x, generator)

    def found(self) -> Config:
        return self._config.model_copy(update={"policy": self._layer.policy()})

    def state_dict(self) -> State:
        return {
            "trunk": self._trunk.state_dict(),
            "layer": module_state(self._layer),
            "adam": self._adam.state_dict(),
            "generators": generators_state((self._order, self._noise)),
        }

    def load_state_dict(self, state: State) -> None:
        require_like(self.state_dict(), state)
        self._trunk.check_state(state["trunk"])
        self._trunk.load_state_dict(state["trunk"])
        self._layer.load_state_dict(state["layer"])
        self._adam.load_state_dict(state["adam"])
        load_generators((self._order, self._noise), state["generators"])

    def _update(self) -> tuple[Tensor, Tensor]:
        context, config, layer = self._context, self._config, self._layer
        x, y = draw(context, self._order, config.batch_size)
        with context.meter.unit("update", x.shape, phase=Phase.TRAIN, examples=len(x)):
            augmented = layer(x, layer.sample(len(x), self._noise))
            loss = context.problem.loss(self._trunk.network(augmented), y).mean()
            reward = range_reward(layer, Reward.WEIGHTED_NORM)
            objective = loss - config.reward * reward + config.decay * layer.decay()
            weights, learned = tuple(self._trunk.network.parameters()), tuple(layer.parameters())
            gradients = torch.autograd.grad(objective, (*weights, *learned))
            self._trunk.update(gradients[: len(weights)])
            self._adam.update(gradients[len(weights) :])
        return loss.detach(), reward.detach()
