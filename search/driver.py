"""Drives a sweep: one Ray Tune experiment holds all of it; the journal, not Ray, remembers it."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum

from ray import tune

from search import cluster
from search.course import Stand
from search.director import Belief, Director
from search.drift import data_of
from search.flights import Flights
from search.recorder import Recorder
from search.routing import Gate, Guard, Router
from search.signals import Interrupted, Signals
from search.slots import Slots
from search.spending import Spending
from search.study import Comparison
from search.supplying import supply
from search.sweep import Sweep
from search.wanted import recorded
from search.watch import Stop, Watch
from tracking.errors import StorageError
from tracking.journal import Journal, of_kind
from tracking.record import Status
from trainables.artefact_store import ArtefactStore


class ExitCode(IntEnum):
    """What a sweep's end means to a shell."""

    DONE = 0
    ERROR = 1
    USER = 2
    FAILED_TRIALS = 3
    BUDGET = 75
    INTERRUPTED = 130
    TERMINATED = 143


LANDING_SECONDS = 10.0  # an orderly stop waits this long for slices to report: Tune itself gives workers 5 s


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a drive ended."""

    sweep: Sweep
    code: ExitCode


class Driver:
    """One process's turn at a sweep: until the director has nothing left, a limit is reached or a signal comes.

    Args:
        journal: open, with everything that happened so far.
        recorder: writes to it.
        slots: how many trials fit.
        signals: those that came.
        trainable: what Ray schedules.
        belief: how far the journal's proposals are taken as they are.
    """

    def __init__(
        self, made: Sweep, comparison: Comparison, journal: Journal, recorder: Recorder, slots: Slots,
        signals: Signals, trainable: type, belief: Belief = Belief.RESUME,
    ) -> None:
        self._made, self._comparison, self._journal, self._recorder = made, comparison, journal, recorder
        self._slots, self._signals, self._trainable, self._belief = slots, signals, trainable, belief
        self._guard, self._spending = Guard(), Spending(comparison)
        self._flights = Flights(comparison.hang_seconds)
        self._landing: float | None = None  # since when there is a reason to stop
        warm = journal.events[0].get("warm") or {}
        wanted, data = recorded(journal.events), data_of(journal.events)
        self._director = Director(comparison, made.place, None, recorder, warm=warm, wanted=wanted, data=data)

    def drive(self) -> Outcome:
        """Raises whatever ended the sweep in its middle; what was journaled counts all the same."""
        for event in self._journal.events:
            self._spending.take(event)
        self._recorder.add(self._spending.take)
        try:
            self._director.replay(list(self._journal.events), self._belief)
            self._director.settle()
            supply(self._director, ArtefactStore.beside(self._made.place), self._recorder)
            if not self._director.finished and self._limit() is None:
                self._guard(self._fit, None)  # what Tune itself raises ends the sweep like any other error
        except Interrupted:
            pass  # before or after Tune ran: the journal stands as it is
        self._guard.stopping = True
        if self._guard.error is not None:
            if not isinstance(self._guard.error, StorageError):  # then nothing can be written
                self._recorder("interrupted", by="error", reason=str(self._guard.error))
            raise self._guard.error
        return self._end()

    def _limit(self) -> str | None:
        """Which of the sweep's limits is reached, in words."""
        return self._spending.exceeded(self._comparison.limits, time.time_ns() // 1_000_000)

    def _may_ask(self) -> bool:
        """Whether the sweep's limits allow another trial."""
        return not self._spending.full(self._comparison.limits)

    def _wanted(self) -> bool:
        """Whether Tune is to stop: at once after an error, else when every running slice has reported."""
        self._guard(self._slots.now, 0)  # raises where the last node that could run a trial has gone for good
        self._guard(self._tell, None)
        if self._guard.error is not None:
            return True
        if self._signals.caught is None and self._limit() is None:
            return False
        if self._landing is None:
            self._landing, self._flights.landing = time.monotonic(), True
        return not self._flights.busy or time.monotonic() - self._landing > LANDING_SECONDS

    def _tell(self) -> None:
        """What a person should know about nodes that joined."""
        for text in self._slots.news():
            self._recorder("warning", text=text)

    def _end(self) -> Outcome:
        """Say in the journal how this turn ended."""
        if self._director.finished:
            self._recorder("sweep_done")
            return Outcome(self._made, ended(self._journal))
        caught = self._signals.caught
        if caught is not None:
            self._interrupted(caught)
            return Outcome(self._made, ExitCode.TERMINATED if caught is signal.SIGTERM else ExitCode.INTERRUPTED)
        self._recorder("interrupted", by="limit", reason=self._limit())
        return Outcome(self._made, ExitCode.BUDGET)

    def _interrupted(self, caught: signal.Signals) -> None:
        self._recorder("interrupted", by=caught.name, reason=None)

    def _fit(self) -> None:
        """One Ray Tune experiment until there is nothing more to do, or a reason to stop."""
        comparison, flights = self._comparison, self._flights
        parts = self._director, flights, self._slots, self._guard
        # All workers start at once, before one of them could take another's trial.
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(self._slots.now())
        os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # ours sees SIGTERM too, and a second Ctrl-C
        with scratch_folder() as scratch, self._signals.watched(self._interrupted):
            tune.Tuner(
                tune.with_resources(self._trainable, cluster.placement(comparison.resources)),
                tune_config=tune.TuneConfig(
                    search_alg=Router(*parts, self._may_ask),
                    scheduler=Gate(*parts),
                    num_samples=-1,
                    reuse_actors=True,  # starting a worker costs more than many a trial
                    trial_name_creator=lambda trial: trial.trial_id,
                    trial_dirname_creator=lambda trial: trial.trial_id,
                ),
                run_config=tune.RunConfig(
                    name="sweep", storage_path=scratch, verbose=0, stop=Stop(self._wanted),
                    callbacks=[Watch(flights, self._guard)],
                    # Trials keep their own state (harness.py), so that a fresh driver finds it without Ray's.
                    checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
                    failure_config=tune.FailureConfig(max_failures=0),  # the director starts trials again (Retries)
                ),
            ).fit()


@contextmanager
def scratch_folder() -> Iterator[str]:
    """Where Ray writes its own state; nobody reads it."""
    folder = tempfile.mkdtemp(prefix="invsearch-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def ended(journal: Journal) -> ExitCode:
    """Of a sweep that is done."""
    failed = of_kind(journal.events, "ended", status=str(Status.FAILED))
    failed += of_kind(journal.events, "stage_done", stage=str(Stand.FAILED))
    return ExitCode.FAILED_TRIALS if failed else ExitCode.DONE
