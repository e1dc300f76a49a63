"""The operations that policies are searched over, as one space for searches and their controls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field, field_validator
from torch import Generator, Tensor

from spaces.policies import Policy, PolicyEntry
from spaces.transforms import TRANSFORMS, Operation, Strength, fits
from tracking.errors import UserError
from tracking.record import NotFiniteError
from trainables.method import Context, NetworkBuilder
from trainables.modules.images import require_image
from trainables.modules.recipe import RecipeConfig
from trainables.problems.problem import View

OPERATIONS = (
    Operation.ROTATION, Operation.TRANSLATE_X, Operation.TRANSLATE_Y, Operation.SCALE, Operation.SHEAR_X,
    Operation.SHEAR_Y, Operation.BRIGHTNESS, Operation.CONTRAST, Operation.SHARPNESS,
)

# Wider than the transforms' own defaults: a search must be able to find a full turn.
SEARCH_LIMITS: dict[Operation, float] = {Operation.ROTATION: 180.0}


class SpaceConfig(RecipeConfig):
    """The shared recipe, and what is searched over.

    Args:
        operations: all different, and all must fit the images (no colour on grey ones). The limit of rotation is 180
            degrees, of the others that of `spaces.transforms`.
    """

    random_control: ClassVar[str | None] = "random_policy"
    images: ClassVar[bool] = True

    operations: tuple[Operation, ...] = Field(default=OPERATIONS, min_length=1)

    @field_validator("operations")
    @classmethod
    def _different(cls, operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
        twice = sorted({operation.value for operation in operations if operations.count(operation) > 1})
        if twice:
            raise UserError("every operation may be searched over once", ", ".join(twice), "name it once")
        return operations

    def fits(self, problem: View, network: NetworkBuilder) -> None:
        """Raises UserError where an operation acts on colours that the images do not have, too."""
        super().fits(problem, network)
        require_fitting(self.used(), problem.shape[0])

    def used(self) -> tuple[Operation, ...]:
        """What may be done to an image."""
        return self.operations

    def fitting(self, name: str, context: Context) -> tuple[Operation, ...]:
        """The same, once it fits the problem's images.

        Args:
            name: of the method, for the message.

        Raises:
            UserError: the inputs are not images, or an operation does not fit them.
        """
        require_fitting(self.used(), require_image(name, context.problem.shape)[0])
        return self.used()


def require_fitting(operations: Sequence[Operation], channels: int) -> None:
    """Raises UserError where an operation makes no sense for so many channels."""
    if others := sorted({operation.value for operation in operations if not fits(operation, channels)}):
        raise UserError(
            "the operations of a policy must fit the images", f"{', '.join(others)} for {channels} channels",
            "leave them out of `operations`, or out of the policy",
        )


def mixture(operations: Sequence[Operation], weights: Sequence[float], magnitudes: Sequence[float]) -> Policy:
    """The policy with these weights and bounds, at the limits of the searched space.

    Args:
        weights: of each operation, in [0, 1]; what is missing to one is the identity's.
        magnitudes: r in [0, 1]; without meaning for operations that have no strength.
    """
    return Policy(entries=tuple(
        PolicyEntry(
            operation=operation,
            weight=weight,
            magnitude=1.0 if TRANSFORMS[operation].strength is Strength.BLEND else magnitude,
            limit=search_limit(operation),
        )
        for operation, weight, magnitude in zip(operations, weights, magnitudes, strict=True)
    ))


def choices(logits: Tensor, size: int, generator: Generator) -> Tensor:
    """(size,) drawn by softmax(logits), on the generator's device.

    Raises:
        NotFiniteError: the search has diverged.
    """
    probabilities = logits.detach().softmax(0).to(generator.device)
    require_finite(probabilities)
    return torch.multinomial(probabilities, size, replacement=True, generator=generator)


def require_finite(*numbers: Tensor) -> None:
    """Raises NotFiniteError where what a policy is made of has diverged."""
    if not all(bool(part.isfinite().all()) for part in numbers):
        raise NotFiniteError("the policy of a search must be finite, but is not: lower a learning rate")


def search_limit(operation: Operation) -> float:
    """Physical maximum of an operation in a search."""
    return SEARCH_LIMITS.get(operation, TRANSFORMS[operation].limit)
