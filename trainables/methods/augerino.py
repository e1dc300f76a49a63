"""Augerino (Benton, Finzi, Izmailov, Wilson, 2020): half-widths in the Lie algebra of affine maps."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from spaces.domain import Float, Space
from trainables.method import Context, Method, NetworkBuilder
from trainables.modules.augmentation import LieAffine, Parametrisation, Reward, range_reward
from trainables.modules.augmentation.affine import GENERATORS
from trainables.modules.augmentation.standard import set_widths, widths
from trainables.modules.fixed_augmentation import FixedAugmentation
from trainables.modules.images import require_image
from trainables.modules.joint_training import JointTraining
from trainables.modules.recipe import RECIPE_DOMAINS, RecipeConfig
from trainables.problems.problem import View

CAP = 5.0  # half of the width 10 at which the published reward ends


class Config(RecipeConfig):
    """J = CE - reward * || 2 r ||_2 over six generators, r = 5 softplus(theta) the half-widths.

    Deviations from the paper: no reward is paid for a half-width beyond 5 (published: one width of 10 ends it for all
    six). Published is r = softplus(theta) / 2, so that dr/dtheta is (1 - exp(-2 r)) / 2; here it is
    5 (1 - exp(-r / 5)). Adam's steps in theta move small ranges alike, by a share of themselves, and go on doing so:
    a range of 1 moves twice as far at the same learning rate, and the widest up to ten times.

    Args:
        reward: lambda >= 0; published: 0.01 to 0.1, and 0.2 in AugNet's comparison.
        augmentation_learning_rate: Adam's; published 0.01, for ten times as many updates as here.
        initial_range: r at the start, in radians, halves of a side and logarithms; published pi / 8 for all.
        ranges: what a search found, by generator; then nothing is learned, and training is from scratch through them.
    """

    space: ClassVar[Space] = Space({
        **RECIPE_DOMAINS,
        "reward": Float(low=0.01, high=0.5, log=True),
        "augmentation_learning_rate": Float(low=0.005, high=0.1, log=True),
    })
    images: ClassVar[bool] = True

    reward: float = Field(default=0.05, ge=0)
    augmentation_learning_rate: float = Field(default=0.03, gt=0)
    initial_range: float = Field(default=0.2, gt=0, lt=CAP)
    ranges: dict[str, float] | None = None

    def idle(self) -> frozenset[str]:
        """Of ranges that are given only the training is left to tune."""
        return frozenset() if self.ranges is None else self.beyond_training()

    def fits(self, problem: View, network: NetworkBuilder) -> None:
        """Raises UserError also where ranges that are given are not those of the six generators, or mean nothing."""
        super().fits(problem, network)
        self._layer()

    def build(self, context: Context) -> Method:
        """Raises UserError where the inputs are not images, or a name or a range does not fit."""
        require_image("augerino", context.problem.shape)
        layer = self._layer().to(context.device)
        return Augerino(context, self, layer) if self.ranges is None else FixedAugmentation(context, self, layer)

    def _layer(self) -> LieAffine:
        layer = LieAffine([CAP] * len(GENERATORS), self.initial_range / CAP, Parametrisation.SOFTPLUS)
        if self.ranges is not None:
            set_widths(layer, self.ranges)
        return layer


class Augerino(JointTraining):
    """Six half-widths, paid by the norm of the widths."""

    def __init__(self, context: Context, config: Config, layer: LieAffine) -> None:
        rates = {layer.ranges.logits: config.augmentation_learning_rate}
        reward = lambda _: 2 * CAP * range_reward(layer, Reward.NORM)  # noqa: E731 - of widths, not shares
        super().__init__(context, config, layer, rates, reward, config.reward)
        self._config = config

    def found(self) -> Config:
        return self._config.model_copy(update={"ranges": widths(self.layer)})
