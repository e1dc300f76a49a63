"""Ray Tune glue: one experiment holds the whole sweep; the journal, not Ray, remembers it."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from types import FrameType
from typing import Any

from ray import tune

from search import cluster
from search import sweep as sweeps
from search.course import Stand
from search.director import Director
from search.routing import Gate, Guard, Router
from search.study import Comparison
from search.sweep import Observer, Recorder, Sweep
from tracking.errors import UserError
from tracking.journal import Journal, of_kind
from tracking.provenance import collect
from tracking.record import Status
from trainables.trial import Trial


class ExitCode(IntEnum):
    """What a sweep's end means to a shell."""

    DONE = 0
    ERROR = 1
    USER = 2
    FAILED_TRIALS = 3
    INTERRUPTED = 130
    TERMINATED = 143


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a drive ended."""

    sweep: Sweep
    code: ExitCode


class Interrupted(BaseException):
    """SIGTERM came while Tune was not there to stop in order."""


def compare(
    comparison: Comparison, folder: Path, observers: Sequence[Observer] = (), address: str | None = None,
    cpus: int | None = None, notes: Mapping[str, Any] | None = None,
) -> Outcome:
    """Launch a sweep in a new folder and drive it to its end.

    Everything that the user could have got wrong is checked before the folder is made: the data are prepared,
    the resources are compared with the cluster's.

    Args:
        observers: shown every event.
        notes: what a later `resume` should know beside the comparison; stored in the first event.

    Raises:
        UserError: before anything was started or written.
    """
    known = prepare(comparison)
    cluster.start(address, cpus)
    slots = cluster.slots(comparison.resources)
    made = sweeps.create(folder, comparison)
    with _signals() as caught, Journal(made.journal_path) as journal:
        recorder = Recorder(made, journal)
        for observer in observers:
            recorder.add(observer)
        recorder(
            "sweep", name=made.name, comparison=comparison.model_dump(mode="json"),
            provenance=collect(Path(__file__).parent), notes=dict(notes or {}), **known,
        )
        return _drive(made, comparison, journal, recorder, slots, caught)


def resume(
    made: Sweep, observers: Sequence[Observer] = (), address: str | None = None, cpus: int | None = None
) -> Outcome:
    """Go on with an interrupted sweep; a finished one is left as it is.

    Raises:
        UserError: another driver holds it, or a plug-in changed.
    """
    comparison = made.comparison()
    with Journal(made.journal_path) as journal:
        recorder = Recorder(made, journal)
        if not journal.events:
            raise UserError("a sweep needs its first event to go on", made.folder, "remove the folder and launch again")
        for event in journal.events:  # observers are idempotent: what they know already is not stored twice
            for observer in observers:
                observer(event)
        for observer in observers:
            recorder.add(observer)
        if of_kind(journal.events, "sweep_done"):
            return Outcome(made, _code(journal))
        prepare(comparison)
        cluster.start(address, cpus)
        slots = cluster.slots(comparison.resources)
        with _signals() as caught:
            recorder("resumed", provenance=collect(Path(__file__).parent))
            return _drive(made, comparison, journal, recorder, slots, caught)


def prepare(comparison: Comparison) -> dict[str, Any]:
    """Build every problem once on this node, so that bad data is told before anything starts; the planted truths."""
    truths: dict[str, Any] = {}
    units: dict[str, str] = {}
    kinds: dict[str, str] = {}
    for spec in comparison.problems:
        for partition in range(comparison.confirm_seeds + 1):
            problem = spec.build(comparison.seed, partition, sweeps.cache_folder())
        truth, kinds[spec.label] = problem.truth, str(problem.kind)
        truths[spec.label] = None if truth is None else {
            "invariant": dict(truth.invariant), "harmful": dict(truth.harmful)
        }
        units |= {action.name: action.unit for action in problem.transform_bank}
    controls = [method.key for method in comparison.methods if method.config_class().control]
    return {"truths": truths, "units": units, "kinds": kinds, "controls": controls}


def _drive(
    made: Sweep, comparison: Comparison, journal: Journal, recorder: Recorder, slots: int, caught: dict[str, int]
) -> Outcome:
    """Run until the director has nothing left, or a signal comes."""
    director = Director(comparison, made.folder, sweeps.cache_folder(), recorder)
    guard = Guard()
    try:
        director.replay(list(journal.events))
        director.settle()
        if not director.finished:
            with _scratch() as scratch:
                _fit(director, guard, comparison, slots, scratch)
    except (KeyboardInterrupt, Interrupted):
        pass  # before or after Tune's own handling: the journal stands as it is
    guard.stopping = True
    if guard.error is not None:
        raise guard.error
    if director.finished:
        recorder("sweep_done")
        return Outcome(made, _code(journal))
    number = signal.Signals(caught.get("signal", signal.SIGINT))
    recorder("interrupted", by=number.name)
    return Outcome(made, ExitCode.TERMINATED if number is signal.SIGTERM else ExitCode.INTERRUPTED)


def _fit(director: Director, guard: Guard, comparison: Comparison, slots: int, scratch: str) -> None:
    # All workers start at once, before one of them could take another's trial (see Gate).
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(slots)
    resources = {"cpu": comparison.resources.cpus, "gpu": comparison.resources.gpus}
    tuner = tune.Tuner(
        tune.with_resources(Trial, resources),
        tune_config=tune.TuneConfig(
            search_alg=Router(director, slots + 1, guard),  # one waits, so that a worker can be used again
            scheduler=Gate(director, guard, slots),
            num_samples=-1,
            reuse_actors=True,  # starting a worker costs more than many a trial
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="sweep", storage_path=scratch, verbose=0,
            # Trials keep their own state (harness.py), so that a fresh driver finds it without Ray's.
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            failure_config=tune.FailureConfig(max_failures=comparison.worker_retries),
        ),
    )
    tuner.fit()


@contextmanager
def _scratch() -> Iterator[str]:
    """Where Ray writes its own state; nobody reads it."""
    folder = tempfile.mkdtemp(prefix="invsearch-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _signals() -> Iterator[dict[str, int]]:
    """Turn SIGTERM into an orderly stop: Ray's own handler prints a stack and aborts.

    While Tune runs it stops in order at SIGUSR1; at any other time the signal becomes an exception. SIGINT is
    Tune's or Python's already. To be entered after Ray has started, which installs its handler; only the main thread
    has signals.
    """
    caught: dict[str, int] = {}

    def stop(number: int, frame: FrameType | None) -> None:
        caught["signal"] = number
        if signal.getsignal(signal.SIGUSR1) in (signal.SIG_DFL, signal.SIG_IGN, None):
            raise Interrupted
        os.kill(os.getpid(), signal.SIGUSR1)

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread
        yield caught
        return
    try:
        yield caught
    finally:
        signal.signal(signal.SIGTERM, before)


def _code(journal: Journal) -> ExitCode:
    failed = of_kind(journal.events, "ended", status=str(Status.FAILED))
    failed += of_kind(journal.events, "stage_done", stage=str(Stand.FAILED))
    return ExitCode.FAILED_TRIALS if failed else ExitCode.DONE
