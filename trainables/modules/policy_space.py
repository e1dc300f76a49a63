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
from trainables.method import Context
from trainables.modules.images import fitting, require_image
from trainables.modules.recipe import RecipeConfig

OPERATIONS = (
    Operation.ROTATION, Operation.TRANSLATE_X, Operation.TRANSLATE_Y, Operation.SCALE, Operation.SHEAR_X,
    Operation.SHEAR_Y, Operation.BRIGHTNESS, Operation.CONTRAST, Operation.SHARPNESS,
)

# Wider than the transforms' own defaults: a search must be able to find a full turn.
SEARCH_LIMITS: dict[Operation, float] = {Operation.ROTATION: 180.0}


class SpaceConfig(RecipeConfig):
    """The shared recipe, and what is searched over.

    Args:
        operations: all different; those that do not fit the images (colour on grey ones) are left out. The limit of
            rotation is 180 degrees, of the others that of `spaces.transforms`.
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

    def fitting(self, name: str, context: Context) -> tuple[Operation, ...]:
        """The operations that fit the problem's images.

        Args:
            name: of the method, for the message.

        Raises:
            UserError: the inputs are not images, or no operation fits them.
        """
        channels = require_image(name, context.problem.shape)[0]
        operations = fitting(self.operations, channels)
        if not operations:
            got = f"{', '.join(self.operations)} for {channels} channels"
            raise UserError("at least one operation must fit the images", got)
        return operations


def fitting_policy(name: str, context: Context, policy: Policy) -> Policy:
    """The policy, if all its operations fit the problem's images.

    Args:
        name: of the method, for the message.

    Raises:
        UserError: the inputs are not images, or an operation acts on colours that they do not have.
    """
    channels = require_image(name, context.problem.shape)[0]
    others = sorted({entry.operation.value for entry in policy.entries if not fits(entry.operation, channels)})
    if others:
        got = f"{', '.join(others)} for {channels} channels"
        raise UserError("the operations of a policy must fit the images", got)
    return policy


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
    if not bool(probabilities.isfinite().all()):
        raise NotFiniteError("the policy of a search must be finite, but is not: lower a learning rate")
    return torch.multinomial(probabilities, size, replacement=True, generator=generator)


def search_limit(operation: Operation) -> float:
    """Physical maximum of an operation in a search."""
    return SEARCH_LIMITS.get(operation, TRANSFORMS[operation].limit)
