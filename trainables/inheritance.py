"""The state that one trial leaves behind for others to go on from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from tracking.storage import Place
from trainables.checkpoint import CheckpointError, Saved

if TYPE_CHECKING:
    from trainables.keeping import Stateful

NAME = "state.pt"


class InheritanceError(RuntimeError):
    """What a trial was to go on from is not there, or is no state of its method."""


def bequeath(inner: Stateful, place: str) -> None:
    """Write the state; durable when this returns. What it has cost stays with the trial that has paid it."""
    Place.of(place).write(NAME, Saved(0, inner.state_dict(), {}, None).pack())


def inherit(inner: Stateful, place: str, device: torch.device) -> None:
    """Go on from a state that another trial left.

    Raises:
        InheritanceError: it is not there, or does not fit.
    """
    try:
        inner.load_state_dict(dict(Saved.unpack(Place.of(place).read(NAME), device).method))
    except (OSError, CheckpointError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise InheritanceError(f"the state of the trial before, {place}, cannot be gone on from: {error}") from error
