"""What `invsearch sync` does: MLflow gets what it has missed of a sweep. It starts no Ray and changes no decision."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from search import backlog
from search import report as reports
from search import store as stores
from search import sweep as sweeps
from search.analysis import rows
from search.best_network import best_networks
from search.results import results
from search.sound import sound
from search.sweep import Sweep
from search.words import first_line
from tracking.errors import StorageError, UserError
from tracking.journal import Event, held
from tracking.mlflow_log import MlflowLog, Store
from tracking.read import reachable

SECONDS = 600.0  # for a whole journal
PATIENCE_SECONDS = 60.0  # with a store that answered, and then takes nothing


def sync(name: str, root: str | None, experiment: str | None) -> int:
    """Write to MLflow what it has missed; what it has is not written twice. The number of events still missing.

    Of a sweep that has ended the report is made again and attached, as the end of the sweep would have done.

    Raises:
        UserError: there is no sweep of that name, its journal is damaged, or a driver is at work on it and writes by
            itself.
        StorageError: MLflow does not answer; told at once.
    """
    made = sweeps.sought(name, root)
    if held(made.place):
        raise UserError("MLflow is written by one process at a time", f"{made.name} has a driver", "wait for its end")
    events = sound(made)
    notes = events[0].get("notes") or {} if events else {}
    store, note = stores.chosen(
        made.place.parent, experiment or notes.get("experiment") or made.name, notes.get("tracking_uri")
    )
    if note is not None:
        print(note, file=sys.stderr)
    _check_answers(store)
    log = MlflowLog(store, made.name, backlog.Backlog(made.place))
    for event in events:
        log.observe(event)
    log.results(results(rows(events)))
    log.networks(best_networks(events, made.exports))
    with tempfile.TemporaryDirectory(prefix="invsearch-") as scratch:  # until MLflow has taken the report
        if any(event["kind"] == "sweep_done" for event in events):
            _attach_report(log, events, made, Path(scratch))
        left = log.close(SECONDS, PATIENCE_SECONDS, lambda left: print(
            f"waiting for MLflow ({store.uri}) to take {left} events", file=sys.stderr
        ))
    if left:
        print(f"error: MLflow ({store.uri}) missed {left} events: {'; '.join(log.errors)}", file=sys.stderr)
    else:
        print(f"MLflow has all of {made.name}: {store.uri}")
        for said in log.errors:
            print(f"warning: {said}", file=sys.stderr)
    return left


def _check_answers(store: Store) -> None:
    try:
        reachable(store)
    except Exception as error:
        raise StorageError(
            "MLflow must answer", f"{store.uri}: {first_line(str(error))}", "is MLFLOW_TRACKING_URI right, and up?"
        ) from None


def _attach_report(log: MlflowLog, events: Sequence[Event], made: Sweep, scratch: Path) -> None:
    """Whatever comes of it: what MLflow has missed is written all the same."""
    try:
        log.attach(reports.write(events, scratch, made.exports))
    except Exception as error:
        print(f"warning: the report could not be made and is not attached: {error}", file=sys.stderr)
