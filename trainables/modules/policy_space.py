"""The operations that policies are searched over, as one space for searches and their controls."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from spaces.policies import Policy, PolicyEntry
from spaces.transforms import TRANSFORMS, Operation, Strength
from tracking.errors import UserError
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
        operations: those that do not fit the images (colour on grey ones) are left out. The limit of rotation is 180
            degrees, of the others that of `spaces.transforms`.
    """

    operations: tuple[Operation, ...] = Field(default=OPERATIONS, min_length=1)

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


def search_limit(operation: Operation) -> float:
    """Physical maximum of an operation in a search."""
    return SEARCH_LIMITS.get(operation, TRANSFORMS[operation].limit)
