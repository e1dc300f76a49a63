"""What image methods ask of a problem."""

from __future__ import annotations

from collections.abc import Sequence

from spaces.transforms import Operation, fits
from tracking.errors import UserError


def require_image(method: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """The shape as (C, H, W).

    Raises:
        UserError: the inputs are not images.
    """
    if len(shape) != 3:
        raise UserError(f"{method} needs images (C, H, W)", shape, "use the method `plain` for other inputs")
    return shape[0], shape[1], shape[2]


def fitting(operations: Sequence[Operation], channels: int) -> tuple[Operation, ...]:
    """The operations that make sense for so many channels (no colour operations on grey images), in order."""
    return tuple(operation for operation in operations if fits(operation, channels))
