"""Launching and resuming: everything that can be wrong is found before work starts; then a driver takes over."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search import cluster, warm_start
from search import sweep as sweeps
from search.cluster import Connection
from search.configuration import overridden
from search.director import Belief
from search.drift import check as check_drift
from search.driver import Driver, ExitCode, Outcome, ended
from search.method_spec import MethodSpec
from search.part_names import installed_code
from search.recorder import Recorder
from search.shared_storage import Newcomers, check_storage
from search.signals import handled
from search.slots import Slots
from search.study import Comparison, parallel_for
from search.sweep import Observer, Sweep, handle
from search.wanted import Wanted, recorded, wanted_of
from search.wanted import check as check_wanted
from tracking.errors import UserError
from tracking.journal import Journal, of_kind
from tracking.provenance import collect
from tracking.storage import Place
from trainables.judging import outcome
from trainables.trial import Trial

__all__ = ["ExitCode", "Outcome", "compare", "prepare", "resume"]


def compare(
    comparison: Comparison, where: Place | Path | str, observers: Sequence[Observer] = (),
    connection: Connection | None = None, notes: Mapping[str, Any] | None = None, trainable: type = Trial,
    again: bool = False,
) -> Outcome:
    """Launch a sweep in a new folder and drive it to its end.

    Everything that the user could have got wrong is checked before the folder is made: the data are prepared,
    the resources are compared with the cluster's.

    Args:
        where: the sweep's own new folder, a path or a URI; its last part is the sweep's name.
        observers: shown every event.
        connection: to which Ray cluster; None means this machine.
        notes: what a later `resume` should know beside the comparison; stored in the first event.
        trainable: what Ray schedules.
        again: a folder in which an earlier launch decided nothing may be taken.

    Raises:
        UserError: before anything was started or written.
    """
    cluster.reach(connection or Connection())  # data may take minutes
    place, known = Place.of(where), prepare(comparison)
    wanted = wanted_of(comparison)
    check_wanted(wanted, place, comparison.making_workers)
    warm = warm_start.gather(comparison, place.parent)
    slots = _slots(comparison, connection, place)
    comparison = _resolved(comparison, slots.now())
    made = sweeps.claim(place, again)
    with Journal(made.place) as journal, handled() as signals:
        sweeps.freeze(made, comparison, journal.events)  # by its only writer
        recorder = Recorder(made, journal)
        for observer in observers:
            recorder.add(observer)
        recorder(
            "sweep", name=made.name, comparison=comparison.model_dump(mode="json"),
            provenance=_provenance(comparison, wanted), notes=dict(notes or {}), warm=warm, slots=slots.now(),
            **_driver(), **known, **wanted.to_json(),
        )
        for label, said in known["data_notes"].items():
            for text in said:
                recorder("warning", text=f"{label}: {text}")
        return Driver(made, comparison, journal, recorder, slots, signals, trainable).drive()


def resume(
    made: Sweep, observers: Sequence[Observer] = (), connection: Connection | None = None,
    overrides: Sequence[str] = (), allow_drift: bool = False, trainable: type = Trial,
) -> Outcome:
    """Go on with an interrupted sweep; a finished one is left as it is.

    Args:
        overrides: "dotted.key=value" of the fields that may change on the way, such as `limits`.
        allow_drift: go on although another version of the code, or of a package that decides, began it, or its
            data have changed.

    Raises:
        UserError: another driver holds it, another version began it, or its data or a plug-in changed.
    """
    comparison, note = made.described()
    with Journal(made.place) as journal:
        if note is not None:
            journal.warnings.append(note)
        recorder = Recorder(made, journal)
        if not journal.events:
            raise UserError("a sweep needs its first event to go on", made.place, "remove the folder and launch again")
        comparison, changed = overridden(comparison, journal.events, overrides)
        done = bool(of_kind(journal.events, "sweep_done"))
        if done and overrides:
            raise UserError("a finished sweep has nothing left that a setting could change", ", ".join(overrides),
                            "leave --set out to have its report made again")
        for event in journal.events:  # observers are idempotent: what they know already is not stored twice
            for observer in observers:
                observer(event)
        for observer in observers:
            recorder.add(observer)
        if done:
            return Outcome(made, ended(journal))
        cluster.reach(connection or Connection())
        wanted = recorded(journal.events)
        provenance, data = _provenance(comparison, wanted), fingerprints(comparison)
        drift = check_drift(journal.events, provenance, data, handle(made.place), allow_drift)
        prepare(comparison, data)
        check_wanted(wanted, made.place, comparison.making_workers)
        slots = _slots(comparison, connection, made.place)
        with handled() as signals:
            recorder("resumed", provenance=provenance, overrides=changed, slots=slots.now(), **drift.fields())
            for text in drift.warnings():
                recorder("warning", text=text)
            mixed = drift.versions or any(event.get("drift") for event in of_kind(journal.events, "resumed"))
            belief = Belief.TRUST if mixed else Belief.RESUME
            return Driver(made, comparison, journal, recorder, slots, signals, trainable, belief).drive()


def _provenance(comparison: Comparison, wanted: Wanted) -> dict[str, Any]:
    """Where the results come from, the code of installed plug-ins included."""
    installed = installed_code(comparison, wanted)
    return collect() | ({"installed": installed} if installed else {})


def _driver() -> dict[str, Any]:
    """Where this process can be found, for those who look at the sweep from elsewhere."""
    return {"driver": {"host": socket.gethostname(), "pid": os.getpid()}, "dashboard": cluster.dashboard()}


def _slots(comparison: Comparison, connection: Connection | None, place: Place) -> Slots:
    """Start Ray or connect to it; how many trials fit, now and later."""
    connection = connection or Connection()
    place.parent.check()
    cluster.start(connection)
    cluster.slots(comparison.resources, connection.wait_seconds)  # one must fit, or it is told now
    seeing = check_storage(place.parent)
    patience = max(cluster.GRACE_SECONDS, connection.wait_seconds)
    newcomers = Newcomers(Sweep(place).checkpoints, seeing)
    return Slots(cluster.Room(comparison.resources, patience), look=newcomers.look)


def _resolved(comparison: Comparison, slots: int) -> Comparison:
    """With the number of parallel trials that this cluster suggests, where the user left it open."""
    if comparison.parallel_trials is not None:
        return comparison
    studies = len(comparison.problems) * len(comparison.methods)
    return comparison.model_copy(update={"parallel_trials": parallel_for(slots, studies)})


def fingerprints(comparison: Comparison) -> dict[str, str]:
    """Label of a problem -> what identifies its data."""
    return {spec.label: spec.fingerprint() for spec in comparison.problems}


def prepare(comparison: Comparison, data: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Build every problem once on this node, so that bad data is told before anything starts; what is known of them.

    Args:
        data: the `fingerprints` that they must have, where these are known.
    """
    data = fingerprints(comparison) if data is None else data
    truths: dict[str, Any] = {}
    units: dict[str, str] = {}
    kinds: dict[str, str] = {}
    data_notes: dict[str, tuple[str, ...]] = {}
    classes: dict[str, tuple[str, ...]] = {}
    for spec in comparison.problems:
        for partition in range(comparison.confirm_seeds + 1):
            problem = spec.build(comparison.seed, partition, sweeps.cache_folder(), data[spec.label])
        for method in comparison.methods:
            method.fits(problem.view(), comparison.network)
        truth, kinds[spec.label] = problem.truth, str(outcome(problem))
        truths[spec.label] = None if truth is None else {
            "invariant": dict(truth.invariant), "harmful": dict(truth.harmful)
        }
        data_notes[spec.label] = getattr(problem, "notes", ())  # a problem of a plug-in need not have any
        classes[spec.label] = getattr(problem, "classes", ())  # nor classes
        units |= {action.name: action.unit for action in problem.transform_bank}
    controls = [method.key for method in comparison.methods if method.config_class().control]
    bounds = [method.key for method in comparison.methods if method.config_class().told]
    return {
        "truths": truths, "units": units, "kinds": kinds, "controls": controls, "bounds": bounds,
        "random_controls": _random_controls(comparison), "data_notes": data_notes, "data": dict(data),
        "classes": classes,
    }


def _random_controls(comparison: Comparison) -> dict[str, str]:
    """Row -> the first row that draws from the same operations without a search."""
    found: dict[str, str] = {}
    for method in comparison.methods:
        kind = method.config_class()
        for other in comparison.methods:
            if other.name == kind.random_control and not kind.control and _space(method) == _space(other):
                found.setdefault(method.key, other.key)
    return found


def _space(method: MethodSpec) -> object:
    """What a search chooses from, where its settings say so."""
    return getattr(method.config_class().model_validate(method.settings), "operations", None)


