"""Ray Tune glue: one experiment holds the whole sweep; the journal, not Ray, remembers it."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Any

from ray import tune
from tracking.storage import Place

from search import cluster, warm_start
from search import sweep as sweeps
from search.cluster import Connection
from search.configuration import overridden
from search.course import Stand
from search.director import Director
from search.drift import check as check_drift
from search.flights import Flights
from search.routing import Gate, Guard, Router
from search.signals import Interrupted, Signals, handled
from search.slots import Slots
from search.spending import Spending
from search.study import Comparison, parallel_for
from search.sweep import Observer, Recorder, Sweep
from search.watch import Stop, Watch
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
    BUDGET = 75
    INTERRUPTED = 130
    TERMINATED = 143


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a drive ended."""

    sweep: Sweep
    code: ExitCode


def compare(
    comparison: Comparison, place: Place, observers: Sequence[Observer] = (), connection: Connection | None = None,
    notes: Mapping[str, Any] | None = None, trainable: type = Trial,
) -> Outcome:
    """Launch a sweep in a new folder and drive it to its end.

    Everything that the user could have got wrong is checked before the folder is made: the data are prepared,
    the resources are compared with the cluster's.

    Args:
        place: of the sweep; its name is the sweep's.
        observers: shown every event.
        connection: to which Ray cluster; None means this machine.
        notes: what a later `resume` should know beside the comparison; stored in the first event.
        trainable: what Ray schedules.

    Raises:
        UserError: before anything was started or written.
    """
    known = prepare(comparison)
    warm = warm_start.gather(comparison, place.parent)
    slots = _slots(comparison, connection, place)
    comparison = _resolved(comparison, slots.now())
    made = sweeps.create(place, comparison)
    with Journal(made.place) as journal, handled() as signals:
        recorder = Recorder(made, journal)
        for observer in observers:
            recorder.add(observer)
        recorder(
            "sweep", name=made.name, comparison=comparison.model_dump(mode="json"), provenance=collect(),
            notes=dict(notes or {}), warm=warm, slots=slots.now(), **known,
        )
        return _drive(made, comparison, journal, recorder, slots, signals, trainable)


def resume(
    made: Sweep, observers: Sequence[Observer] = (), connection: Connection | None = None,
    overrides: Sequence[str] = (), allow_drift: bool = False, trainable: type = Trial,
) -> Outcome:
    """Go on with an interrupted sweep; a finished one is left as it is.

    Args:
        overrides: "dotted.key=value" of the fields that may change on the way, such as `limits`.
        allow_drift: go on although another version of the code, or of a package that decides, began it.

    Raises:
        UserError: another driver holds it, another version began it, or a plug-in changed.
    """
    comparison = made.comparison()
    with Journal(made.place) as journal:
        recorder = Recorder(made, journal)
        if not journal.events:
            raise UserError("a sweep needs its first event to go on", made.place, "remove the folder and launch again")
        for event in journal.events:  # observers are idempotent: what they know already is not stored twice
            for observer in observers:
                observer(event)
        for observer in observers:
            recorder.add(observer)
        if of_kind(journal.events, "sweep_done"):
            return Outcome(made, _code(journal))
        comparison, changed = overridden(comparison, journal.events, overrides)
        provenance = collect()
        drift = check_drift(journal.events, provenance, made.name, allow_drift)
        prepare(comparison)
        slots = _slots(comparison, connection, made.place)
        with handled() as signals:
            recorder("resumed", provenance=provenance, overrides=changed, slots=slots.now())
            if drift:
                recorder("warning", text=f"went on although the version differs: {'; '.join(drift)}")
            return _drive(made, comparison, journal, recorder, slots, signals, trainable)


def _slots(comparison: Comparison, connection: Connection | None, place: Place) -> Slots:
    """Start Ray or connect to it; how many trials fit, now and later."""
    cluster.start(connection or Connection())
    cluster.check_storage(place)
    cluster.slots(comparison.resources)  # one must fit, or it is told now
    return Slots(lambda: cluster.fitting(comparison.resources))


def _resolved(comparison: Comparison, slots: int) -> Comparison:
    """With the number of parallel trials that this cluster suggests, where the user left it open."""
    if comparison.parallel_trials is not None:
        return comparison
    studies = len(comparison.problems) * len(comparison.methods)
    return comparison.model_copy(update={"parallel_trials": parallel_for(slots, studies)})


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
    made: Sweep, comparison: Comparison, journal: Journal, recorder: Recorder, slots: Slots, signals: Signals,
    trainable: type,
) -> Outcome:
    """Run until the director has nothing left, a limit is reached or a signal comes."""
    for text in journal.warnings:
        recorder("warning", text=text)
    director = Director(comparison, made.place, sweeps.cache_folder(), recorder, journal.events[0].get("warm") or {})
    guard, spending = Guard(), Spending(comparison)
    for event in journal.events:
        spending.take(event)
    recorder.add(spending.take)
    try:
        director.replay(list(journal.events))
        director.settle()
        if not director.finished and spending.exceeded(comparison.limits) is None:
            reached = partial(spending.exceeded, comparison.limits)
            _fit(director, guard, comparison, slots, signals, lambda: reached() is not None, trainable)
    except Interrupted:
        pass  # before or after Tune ran: the journal stands as it is
    guard.stopping = True
    if guard.error is not None:
        raise guard.error
    return _end(made, journal, recorder, director, spending.exceeded(comparison.limits), signals.caught)


def _end(
    made: Sweep, journal: Journal, recorder: Recorder, director: Director, limit: str | None,
    caught: signal.Signals | None,
) -> Outcome:
    """Say in the journal how this driver ended."""
    if director.finished:
        recorder("sweep_done")
        return Outcome(made, _code(journal))
    if caught is not None:
        recorder("interrupted", by=caught.name, reason=None)
        return Outcome(made, ExitCode.TERMINATED if caught is signal.SIGTERM else ExitCode.INTERRUPTED)
    recorder("interrupted", by="limit", reason=limit)
    return Outcome(made, ExitCode.BUDGET)


def _fit(
    director: Director, guard: Guard, comparison: Comparison, slots: Slots, signals: Signals,
    limit_reached: Callable[[], bool], trainable: type,
) -> None:
    """One Ray Tune experiment until there is nothing more to do, or a reason to stop."""
    flights = Flights(comparison.hang_seconds)
    # All workers start at once, before one of them could take another's trial.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(slots.now())
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # ours sees SIGTERM too, and a second Ctrl-C

    def wanted() -> bool:
        return signals.caught is not None or guard.error is not None or limit_reached()

    with _scratch() as scratch, signals.watched():
        tune.Tuner(
            tune.with_resources(trainable, cluster.placement(comparison.resources)),
            tune_config=tune.TuneConfig(
                search_alg=Router(director, flights, slots, guard),
                scheduler=Gate(director, flights, slots, guard),
                num_samples=-1,
                reuse_actors=True,  # starting a worker costs more than many a trial
                trial_name_creator=lambda trial: trial.trial_id,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name="sweep", storage_path=scratch, verbose=0, stop=Stop(wanted), callbacks=[Watch(flights, guard)],
                # Trials keep their own state (harness.py), so that a fresh driver finds it without Ray's.
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
                failure_config=tune.FailureConfig(max_failures=0),  # the director starts trials again (Retries)
            ),
        ).fit()


@contextmanager
def _scratch() -> Iterator[str]:
    """Where Ray writes its own state; nobody reads it."""
    folder = tempfile.mkdtemp(prefix="invsearch-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _code(journal: Journal) -> ExitCode:
    failed = of_kind(journal.events, "ended", status=str(Status.FAILED))
    failed += of_kind(journal.events, "stage_done", stage=str(Stand.FAILED))
    return ExitCode.FAILED_TRIALS if failed else ExitCode.DONE
