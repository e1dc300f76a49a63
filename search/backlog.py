"""How far MLflow is behind: a note beside the journal, for those who look at the sweep from elsewhere.

There is a note only while MLflow is behind, as far as the process that writes to it knows. Nobody else can tell so
cheaply: an MLflow that does not answer does not say either what it has.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress

from pydantic import BaseModel, ConfigDict, ValidationError

from search.sweep import handle
from search.words import duration, first_line
from tracking.background import BATCH
from tracking.storage import Place

NAME = "mlflow.json"
ERROR_CHARACTERS = 300


class Note(BaseModel):
    """What the writer knew last.

    Args:
        behind: events that MLflow had not taken; of a driver that has just resumed, those that it had not compared yet.
        error: what it said; None where it is only slow.
        time_ms: when.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    behind: int
    error: str | None
    time_ms: int


class Backlog:
    """Keeps the note of one sweep; to be told after every attempt to write. Never fails: a note is a pity to lose.

    Args:
        place: of the sweep.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._noted: bool | None = None  # a driver before this one may have left a note

    def __call__(self, left: int, error: str | None) -> None:
        """A store that takes what it is given is behind only where more waits than it is given at once."""
        behind = error is not None or left > BATCH
        if not behind and self._noted is False:
            return
        with suppress(OSError):
            if behind:
                self._write(left, error)
            else:
                self._place.delete(NAME)
            self._noted = behind

    def _write(self, left: int, error: str | None) -> None:
        if not self._place.exists():  # a folder that went away is not made again for a note
            return
        said = None if error is None else first_line(error)[:ERROR_CHARACTERS]
        note = Note(behind=left, error=said, time_ms=time.time_ns() // 1_000_000)
        self._place.write(NAME, json.dumps(note.model_dump()).encode())


def read(place: Place) -> Note | None:
    """The note on a sweep; None where there is none, or none that can be read."""
    try:
        return Note.model_validate_json(place.read(NAME))
    except (OSError, ValidationError):
        return None


def line(place: Place, driven: bool) -> str | None:
    """How far MLflow is behind, and who will write the rest; None where nothing is known to be missing.

    Args:
        driven: whether the sweep has a driver now.
    """
    note = read(place)
    if note is None:
        return None
    ago = duration(max(0.0, time.time() - note.time_ms / 1000))
    rest = "the driver goes on trying" if driven else f"`invsearch sync {handle(place)}` writes them"
    return f"MLflow: {note.behind} events behind, {ago} ago ({note.error or 'it is slow'}); {rest}"
