"""Which Ray trial carries which of ours, when it was heard last, and why it went."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import ray
from ray.tune.experiment import Trial

from tracking.record import Cause

GRACE_SECONDS = 30.0  # a worker that hangs ends itself; the driver helps where it cannot even do that
MEMORY_SIGN = "running low on memory"  # Ray says it of its own kills; the kernel's look like any other death
REASON_CHARACTERS = 2000
MEMORY_END = "Object store memory usage"  # who used how much comes before it, and after it a page of other things
FAILURE = "Failure # "  # what Ray begins each entry of a trial's error file with


@dataclass
class Flight:
    """One of our trials on a worker.

    Args:
        heard: when the last word of it came, by the monotonic clock.
        trial: Ray's, once it is known.
    """

    uid: str
    heard: float
    trial: Trial | None = None
    killed: bool = False


@dataclass
class Flights:
    """All trials in flight, by Ray's trial id.

    Args:
        hang_seconds: silence that means that a trial hangs.
        landing: the sweep is to stop: whoever reports goes no further, and nobody starts.
    """

    hang_seconds: float
    clock: Callable[[], float] = time.monotonic
    landing: bool = False
    _flights: dict[str, Flight] = field(default_factory=dict)
    _deaths: dict[str, tuple[Cause, str]] = field(default_factory=dict)  # of trials that are about to be taken off

    def __len__(self) -> int:
        return len(self._flights)

    @property
    def busy(self) -> bool:
        """Whether a worker is at work."""
        return any(flight.trial is not None for flight in self._flights.values())

    def begin(self, trial_id: str, uid: str) -> None:
        self._flights[trial_id] = Flight(uid, self.clock())

    def hear(self, trial: Trial) -> bool:
        """A worker has the trial, or said something of it; False where nobody waits for it any more."""
        flight = self._flights.get(trial.trial_id)
        if flight is None:
            return False
        flight.heard, flight.trial = self.clock(), trial
        return True

    def died(self, trial: Trial) -> None:
        """Its worker is gone. A silence as long as a hang's was one; Ray knows the rest."""
        flight = self._flights.get(trial.trial_id)
        if flight is None:
            return
        silent = 0.0 if flight.trial is None else self.clock() - flight.heard  # a trial without a worker only waits
        said = _said(trial)
        if silent >= self.hang_seconds:
            cause = Cause.HUNG, f"no report for {silent:.0f} s; the worker's log in Ray's session holds its stack"
        elif MEMORY_SIGN in said:
            cause = Cause.MEMORY, f"Ray killed it because its node ran low on memory: {_about_memory(said)}"
        else:
            cause = Cause.DIED, f"the worker died: {said[:REASON_CHARACTERS]}"
        self._deaths[trial.trial_id] = cause

    def end(self, trial_id: str) -> tuple[str, Cause, str] | None:
        """Take a trial off: its uid, and why its worker died; None for one that is not in flight."""
        flight = self._flights.pop(trial_id, None)
        cause, reason = self._deaths.pop(trial_id, (Cause.DIED, "the worker died"))
        return None if flight is None else (flight.uid, cause, reason)

    def silent(self) -> Iterator[Flight]:
        """Trials with a worker that did not even end itself: stopped, or cut off."""
        limit = self.clock() - self.hang_seconds - GRACE_SECONDS
        return (f for f in self._flights.values() if f.trial is not None and f.heard < limit and not f.killed)

    def kill_silent(self) -> None:
        for flight in list(self.silent()):
            actor = flight.trial and flight.trial.temporary_state.ray_actor
            if actor is not None:
                flight.killed = True
                ray.kill(actor)  # Ray then tells the death like any other


def _said(trial: Trial) -> str:
    """What Ray knows about the death, without its banner, in one line."""
    try:
        text = Path(trial.error_file).read_text()
    except (OSError, TypeError):  # no file, or none could be written; the death is a fact all the same
        return "Ray left no word"
    _, _, last = text.rpartition(FAILURE)  # each failure of a trial is written below the one before
    return " ".join(last.partition("\n")[2].split()) or "Ray left no word"


def _about_memory(said: str) -> str:
    """From the sentence with the sign on."""
    begins = said.rfind(". ", 0, said.index(MEMORY_SIGN))
    return said[begins + 2 if begins >= 0 else 0 :].partition(MEMORY_END)[0].rstrip()[:REASON_CHARACTERS]
