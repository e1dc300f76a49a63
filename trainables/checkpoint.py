"""A trial's state as bytes, and choosing the one to go on from."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import torch

from tracking.checkpoints import Checkpoints
from trainables.assignment import Report

SCHEMA = 2


class CheckpointError(ValueError):
    """The bytes are not a state that this version can load."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What a trial needs to go on.

    Args:
        index: reports made so far.
        method: the method's own state.
        meter: the ledger.
        last: the report made last. It may not have reached the journal when the process was stopped: then it is
            said again, and nothing of it is computed twice.
    """

    index: int
    method: Mapping[str, Any]
    meter: Mapping[str, Any]
    last: Report | None

    def pack(self) -> bytes:
        buffer = BytesIO()
        last = None if self.last is None else self.last.model_dump_json()
        torch.save(
            {"schema": SCHEMA, "index": self.index, "method": self.method, "meter": self.meter, "last": last}, buffer
        )
        return buffer.getvalue()

    @classmethod
    def unpack(cls, data: bytes, device: torch.device) -> Saved:
        """The state, with its tensors on the device; nothing but tensors and plain values is unpickled.

        Raises:
            CheckpointError: damaged bytes, or the form of another version.
        """
        try:
            state = torch.load(BytesIO(data), weights_only=True, map_location=device)
            if state["schema"] != SCHEMA:
                raise CheckpointError(f"its form is {state['schema']}, this version reads {SCHEMA}")
            last = None if state["last"] is None else Report.model_validate_json(state["last"])
            return cls(state["index"], state["method"], state["meter"], last)
        except (RuntimeError, EOFError, pickle.UnpicklingError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{type(error).__name__}: {error}") from None


def restore(
    checkpoints: Checkpoints, known: int, device: torch.device, load: Callable[[Saved], None]
) -> tuple[Saved | None, str | None]:
    """Load the newest usable state: never ahead of the journal by more than the report that it carries.

    Args:
        known: reports of the trial that the journal holds.
        load: puts a state in place; raises before it changes anything.

    Returns:
        The state, None where the trial starts from scratch; and what a person should know about damaged ones.
    """
    damaged = []
    for index, data in checkpoints.newest(limit=known + 1):
        try:
            saved = Saved.unpack(data, device)
            load(saved)
        except (CheckpointError, RuntimeError, KeyError, TypeError, ValueError) as error:
            damaged.append(f"the checkpoint after report {index} is damaged ({str(error).splitlines()[0]})")
            continue
        if damaged:
            damaged.append(f"went on from the one after report {saved.index}")
        return saved, "; ".join(damaged) or None
    if damaged:
        damaged.append("started from scratch")
    return None, "; ".join(damaged) or None
