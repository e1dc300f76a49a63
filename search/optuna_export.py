"""A sweep's tuning in Optuna's own storage, for `optuna-dashboard` and for Optuna's analysis functions."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from search import sweep as sweeps
from search.account import Trial, trials
from search.method_spec import MethodSpec
from search.proposer import STATES
from search.sound import sound
from search.study import Comparison
from spaces.distributions import distributions
from tracking.errors import UserError
from tracking.journal import Event
from tracking.record import Stage, Status
from trainables.evolving import EvolvingConfig

SQLITE, SQLITE_ENDINGS, LOG_ENDINGS = "sqlite:///", (".db", ".sqlite", ".sqlite3"), (".log", ".journal")


def export_sweep(name: str, root: str | None, target: str) -> None:
    """Export a sweep's tuning and say where to and how to look at it.

    Raises:
        UserError: no such sweep, a damaged journal, or a file that cannot be made.
    """
    made = sweeps.sought(name, root)
    events = sound(made)
    if not events:
        raise UserError("there must be something to export", f"the journal of {made.place} is empty")
    file = export(made.name, made.comparison(), events, target)
    storage = file if file.suffix in LOG_ENDINGS else f"{SQLITE}{file}"
    print(f"exported: {file}\nlook at it with: optuna-dashboard {storage}")


def export(name: str, comparison: Comparison, events: Sequence[Event], target: str) -> Path:
    """Write one Optuna study per (problem, method), named "SWEEP/PROBLEM/METHOD".

    Args:
        name: of the sweep.
        events: its journal, finished or not.
        target: a new file: `sqlite:///x.db` or `x.db` for SQLite, `x.log` for Optuna's journal.

    Returns:
        The file; it is there in full or not at all.

    Raises:
        UserError: the file exists, cannot be written, or its name tells no kind of storage.
    """
    file = _file(target)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name}-") as scratch:
            written = Path(scratch) / file.name
            with _storage(written) as storage:
                _fill(storage, name, comparison, events)
            if file.exists():
                raise _taken(file)
            written.replace(file)
    except OSError as error:
        raise UserError("the file to export to must be writable", f"{file}: {error.strerror}") from None
    return file


def _file(target: str) -> Path:
    text = target.removeprefix(SQLITE)
    file = Path(text).expanduser().resolve()
    endings = SQLITE_ENDINGS if target.startswith(SQLITE) else (*SQLITE_ENDINGS, *LOG_ENDINGS)
    if "://" in text or file.suffix not in endings:
        raise UserError(
            "an export goes to a file of SQLite or of Optuna's journal", target,
            f"SQLite: sqlite:///NAME.db or a file ending in {', '.join(SQLITE_ENDINGS)}; "
            f"journal: a file ending in {', '.join(LOG_ENDINGS)}",
        )
    if file.exists():
        raise _taken(file)
    return file


def _taken(file: Path) -> UserError:
    return UserError("an export overwrites nothing", file, "choose another file, or remove that one")


@contextmanager
def _storage(file: Path) -> Iterator[BaseStorage]:
    if file.suffix in LOG_ENDINGS:
        yield JournalStorage(JournalFileBackend(str(file)))
        return
    storage = RDBStorage(f"{SQLITE}{file}")
    try:
        yield storage
    finally:
        storage.engine.dispose()


def _fill(storage: BaseStorage, name: str, comparison: Comparison, events: Sequence[Event]) -> None:
    tuned = [trial for trial in trials(events).values() if trial.stage is Stage.TUNE]
    warm: Mapping[str, Any] = events[0].get("warm") or {} if events else {}
    steps, times = _steps(events), _times(events)
    for problem in comparison.problems:
        for method in comparison.methods:
            two = comparison.sampler.two_objectives and not issubclass(method.config_class(), EvolvingConfig)
            study = optuna.create_study(
                storage=storage, study_name=f"{name}/{problem.label}/{method.key}",
                directions=[StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE][: 1 + two],
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                study.set_metric_names(["val/score", "cost/flops"][: 1 + two])
            study.set_user_attr("sampler", str(comparison.sampler))
            space = distributions(method.space())
            for seen in warm.get(f"{problem.label}/{method.key}", ()):
                study.add_trial(_warm(seen, space, two))
            for trial in tuned:
                if (trial.problem, trial.method) == (problem.label, method.key):
                    study.add_trial(_frozen(trial, method, space, steps[trial.uid], times[trial.uid], two))


def _frozen(
    trial: Trial, method: MethodSpec, space: dict[str, BaseDistribution], steps: dict[int, float],
    times: tuple[int, int], two: bool,
) -> FrozenTrial:
    """One trial as Optuna keeps it; its time is the journal's."""
    state = STATES[trial.status]
    attributes: dict[str, Any] = {"uid": trial.uid, "flops": trial.flops, "config": dict(trial.config)}
    if trial.reason:
        attributes["reason"] = trial.reason
    point = {name: trial.config[name] for name in space}
    if not method.space().contains(point):  # a default beyond its domain; Optuna holds no such value
        point, space = {}, {}
    values = None
    if state is TrialState.COMPLETE and trial.score is not None:
        values = [trial.score, float(trial.flops)][: 1 + two]
    elif state is TrialState.PRUNED and steps and not two:
        values = [steps[max(steps)]]  # as `Study.tell` records it
    frozen = create_trial(
        state=state, values=values, params=point, distributions=space, user_attrs=attributes, intermediate_values=steps
    )
    frozen.datetime_start = datetime.fromtimestamp(times[0] / 1000)
    if state.is_finished():
        frozen.datetime_complete = datetime.fromtimestamp(times[1] / 1000)
    return frozen


def _warm(seen: Mapping[str, Any], space: dict[str, BaseDistribution], two: bool) -> FrozenTrial:
    """An observation of an earlier sweep that the sampler began with."""
    steps = {int(step): float(score) for step, score in seen["steps"]}
    whole = seen["score"] is not None
    values = [seen["score"], float(seen["flops"])][: 1 + two] if whole else None
    if not whole and not two:
        values = [steps[max(steps)]]
    return create_trial(
        state=TrialState.COMPLETE if whole else TrialState.PRUNED, values=values, params=dict(seen["point"]),
        distributions=space, intermediate_values=steps,
        user_attrs={"warm_start": seen["source"], "flops": seen["flops"]},
    )


def _steps(events: Sequence[Event]) -> dict[str, dict[int, float]]:
    """uid -> report index -> score, of the reports that could be judged."""
    found: dict[str, dict[int, float]] = {e["uid"]: {} for e in events if e["kind"] == "asked"}
    for event in events:
        if event["kind"] == "result" and event["ready"] and event["status"] != Status.FAILED:
            found[event["uid"]][event["index"]] = event["score"]
    return found


def _times(events: Sequence[Event]) -> dict[str, tuple[int, int]]:
    """uid -> when it was asked and when it was last heard of, in ms since 1970."""
    found: dict[str, tuple[int, int]] = {}
    for event in events:
        if event["kind"] in ("asked", "result", "ended", "lost"):
            first, _ = found.get(event["uid"], (event["time_ms"], 0))
            found[event["uid"]] = (first, event["time_ms"])
    return found
