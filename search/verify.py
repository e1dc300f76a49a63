"""`invsearch verify NAME`: do the decisions in a sweep's journal follow from what was reported?

The journal is the decision log: it holds every proposal and every report in the order in which the driver saw them.
Feeding it through real Optuna and ASHA again must give every proposal and every ending again, also where several
trials of a study ran at once and timing had a say in the order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search import sweep as sweeps
from search.director import Belief, Director, DriftError
from search.printing import console
from search.sound import sound
from search.study import Comparison
from search.wanted import recorded
from tracking.errors import UserError
from tracking.journal import Event
from tracking.storage import Place


@dataclass(frozen=True, slots=True)
class Verified:
    """What was checked.

    Args:
        proposals: trials that were asked.
        endings: trials that ended.
        faults: in words, what does not follow; empty where everything does.
    """

    proposals: int
    endings: int
    faults: tuple[str, ...]


def verify_sweep(name: str, root: str | None) -> int:
    """Verify a sweep and say what was found: 0 where everything follows, else 1.

    Raises:
        UserError: there is no sweep of that name, or its journal is damaged or cannot be read.
    """
    made = sweeps.sought(name, root)
    events = sound(made)
    if not events:
        raise UserError("there must be something to verify", f"the journal of {made.place} is empty")
    found = verify(made.comparison(), events)
    out = console()
    for fault in found.faults:
        out.print(f"does not follow: {fault}", highlight=False, markup=False, soft_wrap=True)
    verdict = f"{len(found.faults)} do not follow" if found.faults else "all follow from what was reported"
    out.print(f"{found.proposals} proposals and {found.endings} endings: {verdict}", highlight=False)
    return 1 if found.faults else 0


def verify(comparison: Comparison, events: Sequence[Event]) -> Verified:
    """Replay a journal, finished or not, with this version of the code."""
    told: list[tuple[str, Mapping[str, Any]]] = []

    def note(kind: str, **fields: Any) -> Event:
        told.append((kind, fields))
        return {"kind": kind, **fields}

    decided = [event for event in events if event["kind"] not in ("ended", "stage_done")]
    director = Director(comparison, Place.of("."), Path("."), note, warm=_warm(events), wanted=recorded(events))
    proposals = sum(event["kind"] == "asked" for event in events)
    endings = {event["uid"]: event["status"] for event in events if event["kind"] == "ended"}
    try:
        director.replay(decided, Belief.VERIFY)
    except DriftError as error:
        return Verified(proposals, len(endings), (error.got,))
    director.settle()
    found = {fields["uid"]: fields["status"] for kind, fields in told if kind == "ended"}
    faults = [
        f"{uid} ended as {endings.get(uid, 'not at all')}, but {found.get(uid, 'no end')} follows"
        for uid in sorted(endings.keys() | found.keys())
        # The very last report may have been journaled by a driver that was killed before it wrote what follows.
        if endings.get(uid) != found.get(uid) and uid in endings
    ]
    return Verified(proposals, len(endings), tuple(faults))


def _warm(events: Sequence[Event]) -> Mapping[str, Any]:
    return (events[0].get("warm") or {}) if events and events[0]["kind"] == "sweep" else {}
