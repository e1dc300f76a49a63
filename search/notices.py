"""What a reader must know before believing a report: said at its top."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from search.account import trials
from search.plan import missing
from search.row import Row
from search.words import listed
from tracking.journal import Event
from tracking.record import Stage, Status


def notices(rows: Sequence[Row], events: Sequence[Event]) -> tuple[str, ...]:
    """What lies between the journal and a whole sweep, and what the comparison itself lacks."""
    return (
        *missing(events), *_one_seed(rows), *_too_wide(rows), *_without_control(rows), *_mixed_hardware(events),
        *_unknown_costs(events),
    )


def _one_seed(rows: Sequence[Row]) -> list[str]:
    tested = [row for row in rows if row.test is not None]
    if tested and all(row.test is not None and row.test.count == 1 for row in tested):
        return ["There is one seed: no interval and no test can be given, and no difference claimed."]
    return []


def _too_wide(rows: Sequence[Row]) -> list[str]:
    """A t-interval knows of no scale: of two seeds that differ by five points it spans sixty."""
    known = [
        (row.problem, row.test.high - row.test.low) for row in rows
        if row.accuracy and row.test is not None and row.test.low is not None and row.test.high is not None
    ]
    wide, all_of = Counter(p for p, width in known if width > 1), Counter(p for p, _ in known)
    if not wide:
        return []
    where = ", ".join(f"{problem}: {count} of {all_of[problem]}" for problem, count in wide.items())
    return [
        f"Too few seeds: 95 % intervals of test accuracies are wider than the whole scale of 0 to 100 % ({where})."
    ]


def _without_control(rows: Sequence[Row]) -> list[str]:
    """Problems whose rows have nothing to be compared with."""
    problems = list(dict.fromkeys(row.problem for row in rows))
    controlled = {row.problem for row in rows if row.control and row.way is Stage.RERUN}
    none = [problem for problem in problems if problem not in controlled]
    if not none:
        return []
    if len(none) == len(problems) > 1:
        return [f"There is no control in any of the {len(none)} problems: no method can be said to gain anything."]
    return [f"{listed(none)}: there is no control, so no method can be said to gain anything."]


def _mixed_hardware(events: Sequence[Event]) -> list[str]:
    """Trials ran on more than one kind of machine: their seconds do not compare."""
    kinds = sorted({str(kind) for event in events if (kind := event.get("hardware")) is not None})
    if len(kinds) < 2:
        return []
    return [f"Hardware was mixed ({'; '.join(kinds)}): compare FLOPs, not seconds."]


def _unknown_costs(events: Sequence[Event]) -> list[str]:
    """Trials that died before they could say what they had cost: a journal knows no more of them."""
    died = Counter(
        f"{trial.problem}/{trial.method}" for trial in trials(events).values()
        if trial.status is Status.FAILED and not trial.metrics
    )
    if not died:
        return []
    count = died.total()
    said = "1 trial failed before its first report: its cost is unknown and counts" if count == 1 else (
        f"{count} trials failed before their first report: their cost is unknown and counts"
    )
    return [f"{said} as nothing ({listed([f'{number} of {study}' for study, number in died.items()])})."]
