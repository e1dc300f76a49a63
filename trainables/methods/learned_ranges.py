"""Ranges of one fused augmentation, learned with the network; ours, after AugNet and Augerino."""

from __future__ import annotations

from typing import ClassVar

from spaces.domain import Float, Space
from trainables.method import Context, Method, NetworkBuilder
from trainables.modules.augmentation import AugmentationLayer, Patience, Reward, range_reward
from trainables.modules.augmentation.standard import set_widths, standard_layer, widths
from trainables.modules.fixed_augmentation import FixedAugmentation
from trainables.modules.joint_training import JointTraining
from trainables.modules.ranges_recipe import RangesConfig
from trainables.modules.recipe import RECIPE_DOMAINS
from trainables.problems.problem import View


class Config(RangesConfig):
    """J = CE - reward * sum_k log(r_k / cap_k): every range rests where r dCE/dr = reward.

    All operations act on every input, in one warp, one flip and one colour map; nothing is selected, so nothing can
    lock onto an operation that does no harm. A range that is harmless goes to its cap, one that harms shrinks. Ranges
    stay where they start before the loss has fallen to half of what it was at first (see `Patience`).

    Args:
        reward, tolerance, augmentation_learning_rate, initial_range, caps, sample_rate: see `RangesConfig`.
        ranges: what a search found, by operation; then nothing is learned, and training is from scratch through them.
    """

    space: ClassVar[Space] = Space({
        **RECIPE_DOMAINS,
        "reward": Float(low=0.005, high=0.5, log=True),
        "augmentation_learning_rate": Float(low=0.01, high=0.2, log=True),
    })

    ranges: dict[str, float] | None = None

    def idle(self) -> frozenset[str]:
        """Of ranges that are given only the training is left to tune."""
        return frozenset() if self.ranges is None else self.beyond_training()

    def fits(self, problem: View, network: NetworkBuilder) -> None:
        """Raises UserError also where ranges that are given do not suit the inputs."""
        super().fits(problem, network)
        self._layer(problem.shape)

    def build(self, context: Context) -> Method:
        """Raises UserError where the inputs are neither images nor signals, or a name or a range does not fit."""
        layer = self._layer(context.problem.shape).to(context.device)
        return LearnedRanges(context, self, layer) if self.ranges is None else FixedAugmentation(context, self, layer)

    def _layer(self, shape: tuple[int, ...]) -> AugmentationLayer:
        layer = standard_layer(shape, self.initial_range, self.caps, self.sample_rate)
        if self.ranges is not None:
            set_widths(layer, self.ranges)
        return layer


class LearnedRanges(JointTraining):
    """The ranges of `standard_layer`, paid by their logarithms."""

    def __init__(self, context: Context, config: Config, layer: AugmentationLayer) -> None:
        rates = dict.fromkeys(layer.parameters(), config.augmentation_learning_rate)
        reward = lambda _: range_reward(layer, Reward.LOG)  # noqa: E731
        super().__init__(context, config, layer, rates, reward, config.reward, config.controller(), Patience())
        self._config = config

    def found(self) -> Config:
        return self._config.model_copy(update={"ranges": widths(self.layer)})
