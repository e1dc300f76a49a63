"""What the commands that only look do: status and report. They start no Ray and change no decision."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from search import backlog, leftovers, terminal
from search import report as reports
from search import sweep as sweeps
from search.account import waste
from search.analysis import rows
from search.break_even import break_even
from search.made import all_made, artefact_record
from search.notices import notices
from search.printing import console as a_console
from search.printing import print_json
from search.progress import standing_table, standing_view
from search.sentences import conclusions
from search.sound import sound
from search.status import RUNNING, Standing
from search.sweep import Sweep
from search.sweep_log import NAME as LOG_NAME
from search.tables import record, seed_records
from search.warned import warned
from tracking.errors import StorageError, UserError
from tracking.journal import Event, held
from tracking.lease import holder
from tracking.storage import Place, failure

WATCH_SECONDS = 2.0
REASONS = 8  # of studies that were given up; the log has them all
T = TypeVar("T")
SILENT = "stopped without a word"  # its driver was killed; `resume` goes on


def status(name: str | None, root: str | None, as_json: bool = False, watch: bool = False) -> None:
    """Where one sweep stands, or one line for each; a damaged journal is told and hides no other sweep.

    Args:
        as_json: one JSON object instead; docs/machines.md names its keys.
        watch: look again every few seconds until the sweep has ended.

    Raises:
        UserError: there is no sweep of that name, its journal is damaged or cannot be read, or there is nothing to
            watch.
    """
    if watch and (as_json or name is None):
        raise UserError("--watch shows the table of one sweep", "--json" if as_json else "no name",
                        "`invsearch status NAME --watch`")
    base = sweeps.root(root)
    if name is None:
        _all(base, as_json)
        return
    made = sweeps.sought(name, root)
    if as_json:
        print_json(described(made))
    elif watch:
        _watch(made)
    else:
        a_console().print(_view(made, sound(made)))


def described(made: Sweep) -> dict[str, Any]:
    """Everything that is known of a sweep's standing, as plain values.

    Raises:
        UserError: the journal is damaged or cannot be read.
    """
    events = sound(made)
    standing, driver = standing_of(made, events)
    wasted, spent = waste(events), standing.spending.total
    notes, note = events[0].get("notes") or {} if events else {}, backlog.read(made.place)
    return {
        "name": made.name, "place": str(made.place), "state": standing.state, "stopped_by": standing.stopped_by,
        "driver": driver, "slots": standing.driver.get("slots"), "dashboard": _live(standing, "dashboard"),
        "share_done": standing.share_done, "seconds_left": standing.seconds_left,
        "studies": [study_record(standing, key) for key in standing.studies],
        "artefacts": standing.makings.records(),
        "spent": {
            "trials": spent.asked, "flops": spent.flops, "device_seconds": spent.device_seconds, "money": spent.money,
            "wall_seconds": standing.spending.wall_seconds(),
        },
        "limits": {name: {"spent": used, "limit": limit} for name, used, limit in _uses(standing)},
        "waste": {"flops": wasted.flops, "wall_seconds": wasted.wall_seconds},
        "retries": standing.retries, "warnings": standing.warned, "latest_warnings": standing.warnings,
        "events": len(events), "last_event_ms": events[-1]["time_ms"] if events else None,
        "log": str(made.place / LOG_NAME), "report": str(made.report / "report.html"),
        "mlflow": {
            "tracking_uri": notes.get("tracking_uri"), "experiment": notes.get("experiment"),
            "behind": 0 if note is None else note.behind, "error": None if note is None else note.error,
        },
    }


def study_record(standing: Standing, key: tuple[str, str]) -> dict[str, Any]:
    """One row of the table, as plain values."""
    study, unit = standing.studies[key], standing.units.get(key[0])
    return {
        "problem": key[0], "method": key[1], "stage": study.stage, "trials": study.tuned, "open": study.running,
        "failed": study.failed, "best_select_score": study.best, "confirmed": study.confirmed,
        "budget_used": study.spent_flops / unit if unit else None, "budget": standing.budget, "reason": study.reason,
    }


def standing_of(made: Sweep, events: Sequence[Event]) -> tuple[Standing, str | None]:
    """The standing, and who drives the sweep now."""
    standing = Standing()
    for event in events:
        standing.take(event)
    if standing.state != RUNNING:
        return standing, None
    driver = holder(made.place)
    if driver is None and held(made.place):
        driver = "another process of this machine"
    if driver is None:
        standing.state = SILENT
    return standing, driver


def report(name: str, root: str | None, as_json: bool = False) -> None:
    """Make the report of a sweep again from its journal; where that cannot be, the one there was stays.

    Raises:
        UserError: there is no sweep of that name, its journal is damaged, or its storage cannot be used.
    """
    made = sweeps.sought(name, root)
    with sweeps.explained(made.place), tempfile.TemporaryDirectory(prefix="invsearch-") as scratch:
        if as_json:
            print_json(_reported(made))
        else:
            write_report(made, a_console(), Path(scratch))


def write_report(made: Sweep, console: Console, scratch: Path) -> list[Path]:
    """Write the report into the sweep; its files as local paths, in `scratch` where the sweep is not local.

    Raises:
        UserError: the journal is damaged or cannot be read.
        StorageError: the files could not be written.
    """
    events, before = sound(made), leftovers.written(made.report)
    folder = made.report.local or scratch
    try:
        written = reports.write(events, folder, made.exports)
    except StorageError:
        raise
    except OSError as error:
        raise failure(Path(error.filename or folder), "written", error) from None
    if made.report.local is None:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            made.report.write(path.relative_to(folder).as_posix(), path.read_bytes())
    leftovers.remove(made.report, before)
    console.print(*terminal.terminal(rows(events), events), sep="\n")
    console.print(f"report: {made.report / 'report.html'}", highlight=False, soft_wrap=True)
    return written


def _reported(made: Sweep) -> Mapping[str, Any]:
    events = sound(made)
    found = rows(events)
    wasted = waste(events)
    problems = dict.fromkeys(row.problem for row in found)
    return {
        "name": made.name, "rows": [record(row) for row in found], "seeds": seed_records(found),
        "conclusions": {p: list(conclusions([row for row in found if row.problem == p])) for p in problems},
        "missing": list(notices(found, events)), "warnings": list(warned(events)),
        "waste": {"flops": wasted.flops, "wall_seconds": wasted.wall_seconds},
        "artefacts": [artefact_record(one) for one in all_made(events).values()],
        "break_even": [one.to_json() for one in break_even(found)],
    }


def _all(base: Place, as_json: bool) -> None:
    if base.local is not None and base.local.exists() and not base.local.is_dir():
        raise UserError("sweeps lie in a folder", base, "give its path as --root")
    known = sweeps.names(base)
    if as_json:
        print_json({"root": str(base), "sweeps": {name: _brief(Sweep(base / name)) for name in known}})
        return
    console = a_console()
    for name in known:
        console.print(f"{name}: {_foot(Sweep(base / name))}", highlight=False, markup=False, soft_wrap=True)
    if not known:
        console.print(f"no sweeps in {base}", highlight=False)


def _brief(made: Sweep) -> dict[str, Any]:
    told, damage = _tried(made, described)
    return told or {"name": made.name, "place": str(made.place), "state": "damaged", "damage": damage}


def _foot(made: Sweep) -> str:
    told, damage = _tried(made, lambda made: standing_of(made, sound(made))[0].foot())
    return told or f"damaged: {damage}"


def _tried(made: Sweep, tell: Callable[[Sweep], T]) -> tuple[T | None, str]:
    """What a sweep tells of itself, or what is wrong with it: whatever that is, it hides no other sweep."""
    try:
        return tell(made), ""
    except (UserError, StorageError) as error:
        return None, error.got
    except Exception as error:
        return None, repr(error)


def _view(made: Sweep, events: Sequence[Event], live: bool = False) -> RenderableType:
    """The table and what is to be said below it."""
    standing, driver = standing_of(made, events)
    wasted = waste(events)
    lines = [
        None if live else standing.foot(),
        None if live else standing.limits_line(),
        f"driver: {driver}" if driver else None,
        f"slots: {standing.driver['slots']}" if driver and standing.driver.get("slots") else None,
        f"Ray dashboard: {_live(standing, 'dashboard')}" if driver and _live(standing, "dashboard") else None,
        f"waste: {wasted.flops:.3g} FLOPs, in no figure above" if wasted.flops else None,
        backlog.line(made.place, driver is not None),
        *standing.given_up()[-REASONS:],
        *(f"warning: {text}" for text in standing.warnings[-3:]),
        f"log: {made.place / LOG_NAME}",
    ]
    head = standing_view(standing) if live else standing_table(standing)
    return Group(head, *(Text(line, overflow="fold") for line in lines if line))


def _watch(made: Sweep) -> None:
    """Until the sweep has no driver any more, or Ctrl-C."""
    console = a_console()
    with Live(console=console, auto_refresh=False, transient=False) as live:
        while True:
            events = sound(made)
            live.update(_view(made, events, live=True), refresh=True)
            if standing_of(made, events)[1] is None:
                return
            time.sleep(WATCH_SECONDS)


def _live(standing: Standing, name: str) -> Any:
    """What is true only while the driver runs."""
    return standing.driver.get(name) if standing.state == RUNNING else None


def _uses(standing: Standing) -> list[tuple[str, float, float]]:
    return list(standing.spending.uses(standing.limits))
