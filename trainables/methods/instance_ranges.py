"""Ranges for every input by a small network, trained with the classifier; the class of InstaAug (Miao et al., 2022)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from spaces.domain import Float, Space
from trainables.method import Context, Role, drawn, stable_seed
from trainables.modules.augmentation import Patience
from trainables.modules.augmentation.instance import InstanceRanges
from trainables.modules.augmentation.standard import standard_layer
from trainables.modules.joint_training import JointTraining
from trainables.modules.ranges_recipe import RangesConfig
from trainables.modules.recipe import RECIPE_DOMAINS

WHOLE = 0.999  # of the caps: what a share of one means


class Config(RangesConfig):
    """J = CE - reward * mean_x sum_k log s_k(x), s(x) in (0, 1) the shares of the caps that an input is given.

    There is no search-free form: the ranges are a network's, and are trained with the classifier, once its loss has
    fallen to half of what it was at first (see `Patience`).

    Args:
        reward, tolerance, augmentation_learning_rate, initial_range, caps, sample_rate: see `RangesConfig`.
    """

    space: ClassVar[Space] = Space({
        **RECIPE_DOMAINS,
        "reward": Float(low=0.005, high=0.5, log=True),
        "augmentation_learning_rate": Float(low=0.001, high=0.03, log=True),
    })

    augmentation_learning_rate: float = Field(default=0.01, gt=0)

    def build(self, context: Context) -> InstanceTraining:
        """Raises UserError where the inputs are neither images nor signals, or a cap does not fit."""
        shape = context.problem.shape
        caps = standard_layer(shape, WHOLE, self.caps, self.sample_rate)
        seed = stable_seed(context.seed, Role.INIT, 1)
        layer = drawn(lambda: InstanceRanges(caps, shape, self.initial_range), seed).to(context.device)
        assert isinstance(layer, InstanceRanges)
        return InstanceTraining(context, self, layer)


class InstanceTraining(JointTraining):
    """The small network takes a step of Adam beside the classifier's."""

    def __init__(self, context: Context, config: Config, layer: InstanceRanges) -> None:
        rates = dict.fromkeys(layer.network.parameters(), config.augmentation_learning_rate)
        steering = (config.controller(), Patience())
        super().__init__(context, config, layer, rates, layer.entropy, config.reward, *steering)
        self._instance = layer

    def _trained_on(self, x: Tensor) -> None:
        self._instance.remember(x)
