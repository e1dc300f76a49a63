"""A policy given from outside: what Optuna searches over, with every trial a training of its own (black box).

Without settings, weights and bounds are ordinary hyperparameters: Optuna proposes them, Ray Tune schedules the trials
and stops the worse ones early.
"""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from spaces.domain import Float, Space
from spaces.policies import Policy
from tracking.errors import UserError
from trainables.idle_fields import refuse_idle
from trainables.method import Context, Method, NetworkBuilder
from trainables.modules.frozen import ThroughPolicy
from trainables.modules.policy_space import OPERATIONS, SpaceConfig, mixture
from trainables.modules.recipe import RECIPE_DOMAINS
from trainables.problems.problem import View

_UNIT = Float(low=0.0, high=1.0)


class Config(SpaceConfig):
    """The shared recipe, and for each operation a weight and a bound r of its strengths.

    An image gets operation k with probability w_k / (w_identity + sum w), over the operations that fit the images.

    Args:
        operations: those of the standard space, or fewer; only theirs are tuned, and may be set.
        identity_weight: of no operation at all.
        rotation_weight, rotation_bound, ...: in [0, 1]; bounds as shares of the limits of the searched space.
    """

    space: ClassVar[Space] = Space({
        **RECIPE_DOMAINS, "identity_weight": _UNIT,
        **{f"{operation}_{what}": _UNIT for operation in OPERATIONS for what in ("weight", "bound")},
    })

    identity_weight: float = Field(default=0.5, ge=0, le=1)
    rotation_weight: float = Field(default=0.5, ge=0, le=1)
    rotation_bound: float = Field(default=0.5, ge=0, le=1)
    translate_x_weight: float = Field(default=0.5, ge=0, le=1)
    translate_x_bound: float = Field(default=0.5, ge=0, le=1)
    translate_y_weight: float = Field(default=0.5, ge=0, le=1)
    translate_y_bound: float = Field(default=0.5, ge=0, le=1)
    scale_weight: float = Field(default=0.5, ge=0, le=1)
    scale_bound: float = Field(default=0.5, ge=0, le=1)
    shear_x_weight: float = Field(default=0.5, ge=0, le=1)
    shear_x_bound: float = Field(default=0.5, ge=0, le=1)
    shear_y_weight: float = Field(default=0.5, ge=0, le=1)
    shear_y_bound: float = Field(default=0.5, ge=0, le=1)
    brightness_weight: float = Field(default=0.5, ge=0, le=1)
    brightness_bound: float = Field(default=0.5, ge=0, le=1)
    contrast_weight: float = Field(default=0.5, ge=0, le=1)
    contrast_bound: float = Field(default=0.5, ge=0, le=1)
    sharpness_weight: float = Field(default=0.5, ge=0, le=1)
    sharpness_bound: float = Field(default=0.5, ge=0, le=1)

    @model_validator(mode="after")
    def _all_are_read(self) -> Self:
        hint = "name the operation in `operations`, or leave them out"
        refuse_idle(self, tuple(sorted(self.idle())), "operations that are not among `operations`", hint)
        return self

    def idle(self) -> frozenset[str]:
        others = (operation for operation in OPERATIONS if operation not in self.operations)
        return frozenset(f"{operation}_{what}" for operation in others for what in ("weight", "bound"))

    def fits(self, problem: View, network: NetworkBuilder) -> None:
        """Raises UserError where the policy is none, too."""
        super().fits(problem, network)
        self._policy()

    def build(self, context: Context) -> Method:
        """Raises UserError where the inputs are not images, or the policy is none; other trials go on."""
        self.fitting("fixed_policy", context)
        return ThroughPolicy(context, self, self._policy())

    def _policy(self) -> Policy:
        """Raises UserError where all weights are zero, or an operation has no field here."""
        if others := sorted(set(self.operations) - set(OPERATIONS)):
            rule = "fixed_policy has weights for the standard operations only"
            raise UserError(rule, ", ".join(others), "leave them out of `operations`")
        weights = [getattr(self, f"{operation}_weight") for operation in self.operations]
        total = self.identity_weight + sum(weights)
        if total <= 0:
            raise UserError("at least one weight of a policy must be positive", "zeros", "raise `identity_weight`")
        bounds = [getattr(self, f"{operation}_bound") for operation in self.operations]
        return mixture(self.operations, [weight / total for weight in weights], bounds)
