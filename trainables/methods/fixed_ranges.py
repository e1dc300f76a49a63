"""The fixed augmentation that people give a data set by custom; the control of learned ranges."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field
from torch import Generator, Tensor

from spaces.domain import Space
from trainables.idle_fields import refuse_idle
from trainables.method import Context, NetworkBuilder
from trainables.modules.augmentation.fixed import fixed_layer
from trainables.modules.fixed_augmentation import export_fixed
from trainables.modules.recipe import RECIPE_DOMAINS, RecipeConfig
from trainables.modules.supervised import Supervised
from trainables.problems.problem import View


class Config(RecipeConfig):
    """Every input is moved by all operations that are named, each uniformly in the range that is given; no learning.

    Args:
        ranges: half-width, or probability of a flip, by operation in its unit. The default, shifts by up to an eighth,
            is the customary random crop (4 pixels at 32), with parts of pixels; CIFAR adds `flip_horizontal: 0.5`.
        sample_rate: of signals, in samples per second.
    """

    space: ClassVar[Space] = Space(RECIPE_DOMAINS)
    control: ClassVar[bool] = True

    ranges: dict[str, float] = Field(default_factory=lambda: {"translate_x": 0.125, "translate_y": 0.125})
    sample_rate: float = Field(default=1.0, gt=0)

    def fits(self, problem: View, network: NetworkBuilder) -> None:
        super().fits(problem, network)
        if len(problem.shape) == 3:
            refuse_idle(self, ("sample_rate",), "signals", "leave it out for images")
        fixed_layer(problem.shape, self.ranges, self.sample_rate)

    def build(self, context: Context) -> FixedRanges:
        return FixedRanges(context, self)


class FixedRanges(Supervised):
    """The shared loop through the fixed layer.

    Raises:
        UserError: an operation that does not suit the inputs, or a range that means nothing.
    """

    def __init__(self, context: Context, config: Config) -> None:
        layer = fixed_layer(context.problem.shape, config.ranges, config.sample_rate)
        self._layer = layer.to(context.device)
        super().__init__(context, config, self.sample)

    def sample(self, x: Tensor, generator: Generator) -> Tensor:
        return self._layer.draw(x, generator)

    def export(self, folder: Path) -> Mapping[str, str]:
        """See `augmentation.takeaway`."""
        return export_fixed(self._layer, self._context, folder)
