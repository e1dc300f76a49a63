"""Settings that methods with paid ranges share."""

from __future__ import annotations

from pydantic import Field

from trainables.modules.augmentation import ToleranceController
from trainables.modules.recipe import RecipeConfig


class RangesConfig(RecipeConfig):
    """The shared recipe, and how ranges are paid.

    Args:
        reward: lambda > 0, in nats per e-fold of a range.
        tolerance: delta, in nats. If given, lambda is steered so that the augmented loss stays about delta above the
            loss without augmentation, and `reward` is where it begins.
        augmentation_learning_rate: Adam's, of the layer's parameters.
        initial_range: as a share of the caps, in (0, 1).
        caps: largest ranges by operation, in its unit, where they differ from the layers' own.
        sample_rate: of signals, in samples per second; at 1, frequencies are in cycles per sample.
    """

    reward: float = Field(default=0.02, gt=0)
    tolerance: float | None = Field(default=None, gt=0)
    augmentation_learning_rate: float = Field(default=0.05, gt=0)
    initial_range: float = Field(default=0.125, gt=0, lt=1)
    caps: dict[str, float] = Field(default_factory=dict)
    sample_rate: float = Field(default=1.0, gt=0)

    def controller(self) -> ToleranceController | None:
        """Of the reward's weight, where a tolerance is given."""
        return None if self.tolerance is None else ToleranceController(self.tolerance, self.reward)
