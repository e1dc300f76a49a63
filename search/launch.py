"""What the commands do: compare, resume, status, report, with screen, MLflow and report around the runner."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from rich.console import Console

from search import configuration, runner
from search import report as reports
from search import store as stores
from search import sweep as sweeps
from search.analysis import rows
from search.cluster import Connection
from search.progress import Screen, standing_table
from search.runner import ExitCode, Outcome
from search.status import Standing
from search.sweep import Observer, Sweep
from tracking.errors import UserError
from tracking.journal import JournalError, held
from tracking.mlflow_log import MlflowLog, Store

FILE_WIDTH = 120  # where the output is no terminal
DRAIN_SECONDS = 120.0  # how long the end of a sweep waits for MLflow


@dataclass(frozen=True, slots=True)
class Options:
    """Where things are; the same for launching and resuming."""

    root: str | None = None
    experiment: str | None = None
    connection: Connection | None = None


def compare(
    source: str, name: str | None, overrides: Sequence[str], modules: Sequence[Path], options: Options
) -> int:
    """Launch a sweep and see it through to its report; the exit code."""
    comparison = configuration.load(source, overrides, modules)
    chosen = name or sweeps.fresh_name(sweeps.plain_name(Path(source).stem))
    if not sweeps.NAME.fullmatch(chosen):
        raise UserError("a sweep's name is made of letters, digits, `.`, `_` and `-`", chosen)
    made = Sweep(sweeps.root(options.root) / chosen)
    sweeps.check_new(made.place)

    store = _store(made, options.experiment or made.name)
    notes = {"tracking_uri": store.uri, "experiment": store.experiment}

    def run(observers: Sequence[Observer]) -> Outcome:
        return runner.compare(comparison, made.place, observers, options.connection, notes)

    return _watched(made, run, store, options, seen=0)


def resume(name: str, options: Options) -> int:
    """Go on with a sweep and see it through to its report; the exit code."""
    made = sweeps.find(name, sweeps.root(options.root))
    events = made.loaded().events
    notes = events[0].get("notes", {}) if events else {}
    # The sweep goes on in the experiment it began in, unless it is told another.
    store = _store(made, options.experiment or notes.get("experiment", made.name), notes.get("tracking_uri"))

    def run(observers: Sequence[Observer]) -> Outcome:
        return runner.resume(made, observers, options.connection)

    return _watched(made, run, store, options, seen=len(events))


def status(name: str | None, root: str | None) -> None:
    """Where one sweep stands, or one line for each; a damaged journal is told and hides no other sweep.

    Raises:
        UserError: there is no sweep of that name, or its journal is damaged.
    """
    base, console = sweeps.root(root), _console()
    if name is None:
        known = sweeps.names(base)
        for sweep in known:
            console.print(f"{sweep}: {_foot(Sweep(base / sweep))}", highlight=False, markup=False, soft_wrap=True)
        if not known:
            console.print(f"no sweeps in {base}", highlight=False)
        return
    made = sweeps.find(name, base)
    try:
        standing = _standing(made)
    except JournalError as error:
        raise UserError("a sweep's journal must be undamaged", error, "restore it from a copy") from None
    console.print(standing_table(standing))
    console.print(standing.foot(), highlight=False)


def report(name: str, root: str | None) -> None:
    """Make the report of a sweep again from its journal."""
    made = sweeps.find(name, sweeps.root(root))
    with tempfile.TemporaryDirectory(prefix="invsearch-") as scratch:
        _report(made, _console(), Path(scratch))


def _watched(
    made: Sweep, run: Callable[[Sequence[Observer]], Outcome], store: Store, options: Options, seen: int
) -> int:
    console = _console()
    again = f"invsearch resume {made.name if options.root is None else quote(made.place.uri)}"
    log = MlflowLog(store, made.name)
    with tempfile.TemporaryDirectory(prefix="invsearch-") as scratch:  # until MLflow has taken the report
        try:
            with Screen(console) as screen:
                screen.skip(seen)
                outcome = run((log.observe, screen))
            if outcome.code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
                console.print(f"interrupted; go on with: {again}", highlight=False, soft_wrap=True)
            else:
                log.attach(_report(made, console, Path(scratch)))
        finally:
            left = log.close(DRAIN_SECONDS)
    if left:
        print(f"warning: MLflow ({store.uri}) missed {left} events: {'; '.join(log.errors)}; "
              f"`{again}` writes them", file=sys.stderr)
    return int(outcome.code)


def _store(made: Sweep, experiment: str, began_with: str | None = None) -> Store:
    store, note = stores.chosen(made.place.parent, experiment, began_with)
    if note is not None:
        print(note, file=sys.stderr)
    return store


def _report(made: Sweep, console: Console, scratch: Path) -> list[Path]:
    """Write the report into the sweep; its files as local paths, in `scratch` where the sweep is not local."""
    events, damage = made.loaded()
    if damage is not None:
        print(f"warning: only what comes before the damage is reported: {damage}", file=sys.stderr)
    folder = made.report.local or scratch
    written = reports.write(events, folder)
    if made.report.local is None:
        for path in written:
            made.report.write(path.name, path.read_bytes())
    console.print(*reports.terminal(rows(events), events), sep="\n")
    console.print(f"report: {made.report / 'report.html'}", highlight=False, soft_wrap=True)
    return written


def _console() -> Console:
    """The terminal's width where there is one; else wide enough for the tables."""
    console = Console()
    return console if console.is_terminal else Console(width=FILE_WIDTH)


def _foot(made: Sweep) -> str:
    try:
        return _standing(made).foot()
    except JournalError as error:
        return f"damaged: {error}"


def _standing(made: Sweep) -> Standing:
    standing = Standing()
    for event in made.events():
        standing.take(event)
    if standing.state == "running" and not held(made.place):
        standing.state = "stopped without a word"  # its driver was killed; `resume` goes on
    return standing
