"""A trial's state on its way: kept when it is due, found again, and what nobody heard said again."""

from __future__ import annotations

import time
from typing import Protocol

import torch

from tracking.checkpoints import Checkpoints
from tracking.cost import Meter
from tracking.storage import Place
from trainables.assignment import Job, Report
from trainables.checkpoint import Saved, restore
from trainables.method import State


class Stateful(Protocol):
    """A method or a maker."""

    def state_dict(self) -> State: ...
    def load_state_dict(self, state: State) -> None: ...


class Keeper:
    """Continues from the trial's last usable checkpoint at once, and keeps new ones.

    Args:
        job: where checkpoints are, how often they are due, and how much the journal knows.
        inner: what is trained; just built.
        meter: what it has cost.
        device: where restored tensors go.
    """

    def __init__(self, job: Job, inner: Stateful, meter: Meter, device: torch.device) -> None:
        self.index = 0  # reports made so far
        self._inner, self._meter = inner, meter
        self._seconds = job.protocol.checkpoint_seconds
        self._checkpoints = Checkpoints(Place.of(job.place))
        self._last: Report | None = None
        self._unsaid: Report | None = None  # made by an earlier process, and perhaps never heard
        saved, self._note = restore(self._checkpoints, job.known, device, self._load)
        if saved is not None:
            self.index, self._last = saved.index, saved.last
            self._unsaid = saved.last if saved.index > job.known else None
        self._saved_at, self._saved_index = time.monotonic(), self.index

    def unsaid(self) -> Report | None:
        """A report to be said again before anything new, once."""
        report, self._unsaid = self._unsaid, None
        return report

    def note(self) -> str | None:
        """What a person should know about checkpoints, once."""
        note, self._note = self._note, None
        return note

    def add(self, report: Report) -> None:
        """A slice was made and this is said of it."""
        self.index += 1
        self._last = report

    def save(self) -> None:
        """Keep the trial's state; earlier checkpoints stay valid until this one is complete. What is kept is not
        written again; the last report of all is kept too, since nobody may have heard it."""
        if self.index == self._saved_index:
            return
        saved = Saved(self.index, self._inner.state_dict(), self._meter.state_dict(), self._last)
        self._checkpoints.write(self.index, saved.pack())
        self._saved_at, self._saved_index = time.monotonic(), self.index

    def save_if_due(self) -> None:
        if time.monotonic() - self._saved_at <= self._seconds:
            return
        try:
            self.save()
        except OSError as error:  # a full disk: the trial goes on, and tries again at its next slice
            self._note = f"no checkpoint could be written: {error}"

    def _load(self, saved: Saved) -> None:
        self._inner.load_state_dict(dict(saved.method))
        self._meter.load_state_dict(saved.meter)
