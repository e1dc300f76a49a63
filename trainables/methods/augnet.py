"""AugNet (Rommel, Moreau, Gramfort, 2022): a learned augmentation layer, trained jointly with the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field
from torch import Generator, Tensor

from spaces.domain import Float, Space
from spaces.policies import Policy
from trainables.method import Context, Method, NetworkBuilder
from trainables.modules.augmentation import Reward, range_reward
from trainables.modules.augmentation.published import AugNetLayer, describe, require_published
from trainables.modules.augmentation.select import COLDEST
from trainables.modules.frozen import FrozenPolicy
from trainables.modules.images import require_image
from trainables.modules.joint_training import JointTraining
from trainables.modules.recipe import RECIPE_DOMAINS, RecipeConfig
from trainables.problems.problem import View


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
        temperature: T of the choice, .001 at least.
        initial_range: mu at the start.
        policy: what a search found; then nothing is learned, and training is from scratch through it.
    """

    space: ClassVar[Space] = Space({
        **RECIPE_DOMAINS,
        "reward": Float(low=0.05, high=2.0, log=True),
        "augmentation_learning_rate": Float(low=0.01, high=0.2, log=True),
    })
    images: ClassVar[bool] = True

    reward: float = Field(default=0.7, ge=0)
    decay: float = Field(default=1.0, ge=0)
    augmentation_learning_rate: float = Field(default=0.05, gt=0)
    temperature: float = Field(default=0.01, ge=COLDEST)
    initial_range: float = Field(default=0.125, gt=0, lt=1)
    policy: Policy | None = None

    def idle(self) -> frozenset[str]:
        """Of a policy that is given only the training is left to tune."""
        return frozenset() if self.policy is None else self.beyond_training()

    def fits(self, problem: View, network: NetworkBuilder) -> None:
        """Raises UserError also where a policy that is given is of other operations."""
        super().fits(problem, network)
        if self.policy is not None:
            require_published(self.policy)

    def build(self, context: Context) -> Method:
        """Raises UserError where the inputs are not images, or a policy that is given is of other operations."""
        require_image("augnet", context.problem.shape)
        if self.policy is not None:
            require_published(self.policy)
            return FrozenPolicy(context, self, self.policy, describe)
        return AugNet(context, self)


class AugNet(JointTraining):
    """The layer is trained by the soft mixture and used by one drawn operation per image."""

    def __init__(self, context: Context, config: Config) -> None:
        layer = AugNetLayer(config.temperature, config.initial_range).to(context.device)
        rate = config.augmentation_learning_rate
        by_name = {"logits": rate * config.temperature, "layer.ranges.logits": rate}
        rates = {parameter: by_name[name] for name, parameter in layer.named_parameters()}

        def reward(_: Tensor) -> Tensor:
            return config.reward * range_reward(layer, Reward.WEIGHTED_NORM) - config.decay * layer.decay()

        super().__init__(context, config, layer, rates, reward, weight=1.0)
        self._config, self._published = config, layer

    def describe(self) -> Mapping[str, float]:
        return describe(self._published.policy())

    def sample(self, x: Tensor, generator: Generator) -> Tensor:
        return self._published.policy().draw(x, generator)

    def found(self) -> Config:
        return self._config.model_copy(update={"policy": self._published.policy()})
