"""What compare and resume do: screen, log, MLflow and report around the runner."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from search import configuration, looking, pretraining, restart, runner
from search import store as stores
from search import sweep as sweeps
from search.analysis import rows
from search.backlog import Backlog
from search.best_network import best_networks
from search.cluster import Connection
from search.printing import console as a_console
from search.progress import Screen
from search.pulse import listening
from search.results import results
from search.runner import ExitCode, Outcome
from search.signals import Interrupted, asked, noted
from search.sound import check
from search.study import Comparison
from search.sweep import Observer, Sweep
from search.sweep_log import SweepLog
from search.sweep_name import check_name, fresh_name, plain_name
from search.words import first_line
from tracking.errors import StartError, StorageError, UserError
from tracking.mlflow_log import MlflowLog, Store

DRAIN_SECONDS = 120.0  # how long the end of a sweep waits for an MLflow that takes what it is given
PATIENCE_SECONDS = 10.0  # and for one that does not
TOO_SLOW = "too slow"
STOPPED = {
    ExitCode.BUDGET: "a limit is reached; raise it by --set limits.NAME=VALUE",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.TERMINATED: "interrupted",
}


@dataclass(frozen=True, slots=True)
class Options:
    """Where things are; the same for launching and resuming."""

    root: str | None = None
    experiment: str | None = None
    connection: Connection | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of description.

    Args:
        load: source, overrides, plug-in files -> what the user means.
        prefix: of the sweep's name, where the user gave none.
    """

    load: Callable[[str, Sequence[str], Sequence[Path]], Comparison]
    prefix: str = ""


COMPARISON, PRETRAINING = Kind(configuration.load), Kind(pretraining.load, "pretrain-")


def compare(
    source: str, name: str | None, overrides: Sequence[str], modules: Sequence[Path], options: Options,
    or_resume: bool = False, kind: Kind = COMPARISON,
) -> int:
    """Launch a sweep and see it through to its report; the exit code.

    Args:
        or_resume: go on with the sweep of that name where one has begun: for jobs that a cluster starts again. What may
            change on the way changes as is described now; the rest must be as it was.
        kind: of description that `source` names.
    """
    if or_resume and name is None:
        raise UserError("--or-resume needs the sweep's --name", "no name", "a name that stays the same at every start")
    made = _named(source, name, options, kind)
    comparison = kind.load(source, overrides, modules)
    if or_resume and made.exists() and not sweeps.unbegun(made.place):
        return _again(made, comparison, options)
    sweeps.check_new(made.place, or_resume)

    store = _store(made, options.experiment or made.name)
    notes = {"tracking_uri": store.uri, "experiment": store.experiment}

    def run(observers: Sequence[Observer]) -> Outcome:
        return runner.compare(comparison, made.place, observers, options.connection, notes, again=or_resume)

    return _watched(made, run, store, options, seen=0)


def estimate(
    source: str, name: str | None, overrides: Sequence[str], modules: Sequence[Path], options: Options, as_json: bool,
    kind: Kind = COMPARISON,
) -> None:
    """Tell what `compare` with the same words would do and cost."""
    from search.dry_run import dry_run

    comparison = kind.load(source, overrides, modules)
    made = _named(source, name, options, kind)
    dry_run(comparison, made, options.experiment or made.name, options.connection or Connection(), as_json)


def resume(name: str, options: Options, overrides: Sequence[str] = (), allow_drift: bool = False) -> int:
    """Go on with a sweep and see it through to its report; the exit code."""
    made = sweeps.sought(name, options.root)
    with sweeps.explained(made.place):
        events = made.loaded().events
    check(events, made.place)
    notes = events[0].get("notes", {}) if events else {}
    # The sweep goes on in the experiment it began in, unless it is told another.
    store = _store(made, options.experiment or notes.get("experiment", made.name), notes.get("tracking_uri"))

    def run(observers: Sequence[Observer]) -> Outcome:
        return runner.resume(made, observers, options.connection, overrides, allow_drift)

    return _watched(made, run, store, options, seen=len(events))


def _again(made: Sweep, described: Comparison, options: Options) -> int:
    """Go on with a sweep that is launched once more."""
    with sweeps.explained(made.place):
        words, said = restart.changes(made, described)
    for text in said:
        print(text, file=sys.stderr)
    return resume(made.place.uri, options, words)


def _named(source: str, name: str | None, options: Options, kind: Kind) -> Sweep:
    chosen = fresh_name(kind.prefix + plain_name(Path(source).stem)) if name is None else name
    check_name(chosen)
    return Sweep(sweeps.root(options.root) / chosen)


def _watched(
    made: Sweep, run: Callable[[Sequence[Observer]], Outcome], store: Store, options: Options, seen: int
) -> int:
    """Drive with a screen, a log and MLflow as observers; then the report, or what to do to go on."""
    console = a_console()
    again = f"invsearch resume {sweeps.handle(made.place)}"
    backlog = Backlog(made.place)
    mlflow, log = MlflowLog(store, made.name, backlog), SweepLog(made.place)
    refused, hurried = False, False
    with tempfile.TemporaryDirectory(prefix="invsearch-") as scratch:  # until MLflow has taken the report
        try:
            say = partial(console.print, highlight=False, soft_wrap=True)
            with Screen(console) as screen, listening(say, again, asked=asked, note=noted):
                screen.skip(seen)
                log.skip(seen)
                outcome = run((log, mlflow.observe, screen))
            if outcome.code in STOPPED:
                say(f"{STOPPED[outcome.code]}; go on with: {again}")
            else:
                written = looking.write_report(made, console, Path(scratch))
                events = made.events()
                mlflow.results(results(rows(events)))
                mlflow.networks(best_networks(events, made.exports))
                mlflow.attach(written)
        except (UserError, StartError):
            refused = True
            raise
        except (KeyboardInterrupt, Interrupted):  # no sweep runs yet, or any more
            hurried = True
            if made.exists():
                say(f"interrupted; go on with: {again}")
            raise
        except StorageError as error:
            hint = f"{error.hint}; what was journaled counts, go on with: {again}"
            raise StorageError(error.rule, error.got, hint) from None
        finally:
            if refused:
                mlflow.close(0.0)  # nothing happened that it does not know
            else:
                _drain(mlflow, backlog, log, store, made, console, 0.0 if hurried else DRAIN_SECONDS)
            log.close()
    if log.error is not None:
        print(f"warning: {log.uri} is incomplete: {log.error}", file=sys.stderr)
    return int(outcome.code)


def _drain(
    mlflow: MlflowLog, backlog: Backlog, log: SweepLog, store: Store, made: Sweep, console: Console, seconds: float
) -> None:
    """Let MLflow take the rest: as long as it takes some of it, and only for a moment where it is down."""
    left = 0
    try:
        left = mlflow.close(seconds, PATIENCE_SECONDS, lambda left: console.print(
            f"waiting for MLflow ({store.uri}) to take {left} events", highlight=False, soft_wrap=True
        ))
    except (KeyboardInterrupt, Interrupted):
        left = mlflow.close(0.0)
        raise
    finally:
        _tell_missing(left, mlflow, backlog, log, store, made)


def _tell_missing(
    left: int, mlflow: MlflowLog, backlog: Backlog, log: SweepLog, store: Store, made: Sweep
) -> None:
    if left:
        why = "; ".join(map(first_line, mlflow.errors)) or TOO_SLOW
        missing = (
            f"MLflow ({store.uri}) has not taken {left} events ({why}); the journal "
            f"has them, and `invsearch sync {sweeps.handle(made.place)}` or the next resume writes them"
        )
        print(f"warning: {missing}", file=sys.stderr)
        log.note(missing)
        backlog(left, mlflow.errors[-1] if mlflow.errors else TOO_SLOW)


def _store(made: Sweep, experiment: str, began_with: str | None = None) -> Store:
    store, note = stores.chosen(made.place.parent, experiment, began_with)
    if note is not None:
        print(note, file=sys.stderr)
    return store
