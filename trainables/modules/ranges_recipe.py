"""Settings that methods with paid ranges share."""

from __future__ import annotations

import math

from pydantic import Field, field_validator

from tracking.errors import UserError, nearest
from trainables.idle_fields import refuse_idle
from trainables.method import NetworkBuilder
from trainables.modules.augmentation import ToleranceController
from trainables.modules.augmentation.standard import OPERATIONS, standard_layer
from trainables.modules.recipe import RecipeConfig
from trainables.problems.problem import View


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

    @field_validator("caps")
    @classmethod
    def _known_and_positive(cls, caps: dict[str, float]) -> dict[str, float]:
        """Whether an operation suits the inputs is seen when the layer is made."""
        for name, cap in caps.items():
            if name not in OPERATIONS:
                raise UserError("a cap must name an operation of the layer", name, nearest(name, OPERATIONS))
            if not 0 < cap < math.inf:
                raise UserError("the cap of a range must be positive and finite", f"{name}: {cap}")
        return caps

    def fits(self, problem: View, network: NetworkBuilder) -> None:
        super().fits(problem, network)
        if len(problem.shape) == 3:
            refuse_idle(self, ("sample_rate",), "signals", "leave it out for images")
        standard_layer(problem.shape, self.initial_range, self.caps, self.sample_rate)

    def controller(self) -> ToleranceController | None:
        """Of the reward's weight, where a tolerance is given."""
        return None if self.tolerance is None else ToleranceController(self.tolerance, self.reward)
