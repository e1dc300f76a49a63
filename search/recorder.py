"""From what a driver does to the journal, and to those who watch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress

from search import lines
from search.sweep import Observer, Sweep
from tracking.errors import StorageError
from tracking.journal import Event, Journal, of_kind
from tracking.storage import Place


class Recorder:
    """Writes every event to the journal, then shows it to the observers; forgets checkpoints of ended trials.

    From one thread at a time: where Ray is gone, another than the driver's writes the last event.
    """

    def __init__(self, sweep: Sweep, journal: Journal) -> None:
        self._sweep, self._journal, self._lock = sweep, journal, threading.RLock()
        self._observers: list[Observer] = []
        if journal.events:
            self._tidy()

    def add(self, observer: Observer) -> None:
        self._observers.append(observer)

    def __call__(self, kind: str, **fields: object) -> Event:
        with self._lock:
            return self._write(kind, **fields)

    def _write(self, kind: str, **fields: object) -> Event:
        event = self._journal.append(kind, **fields)
        for observer in self._observers:
            observer(event)
        if kind == "ended":  # the journal has the outcome on disk: nothing will continue from the checkpoint
            _forget(self._sweep.checkpoints / str(fields["uid"]))
        elif kind == "sweep_done":
            _forget(self._sweep.checkpoints)
        if (left := lines.outgrown(self._sweep.place, event)) is not None:
            _forget(left)
        return event

    def _tidy(self) -> None:
        """An earlier driver may have been stopped between an end and what follows from it."""
        if of_kind(self._journal.events, "sweep_done"):
            _forget(self._sweep.checkpoints)
            _forget(self._sweep.place / lines.FOLDER)
            return
        ended = {str(event["uid"]) for event in of_kind(self._journal.events, "ended")}
        with suppress(StorageError):
            for uid in _kept(self._sweep.checkpoints):
                if uid in ended:
                    _forget(self._sweep.checkpoints / uid)


def _forget(place: Place) -> None:
    with suppress(StorageError):  # it only takes up room
        place.delete()


def _kept(place: Place) -> Iterator[str]:
    """The trials that have checkpoints: problem/method/trial, and what studies share: problem/unit, artefacts/KEY."""
    for problem in place.names():
        for method in (place / problem).names():
            yield f"{problem}/{method}"
            for trial in (place / problem / method).names():
                yield f"{problem}/{method}/{trial}"
