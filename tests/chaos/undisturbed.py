"""The sweep that nobody disturbed, without Ray: real director, Optuna and ASHA, and `chain`'s trials from scratch."""

from __future__ import annotations

from search.study import Comparison
from tests.chaos import chain
from tests.support.simulation import Simulation, Stopped
from tracking.journal import Event
from trainables.assignment import Assignment, Report


def chained(assignment: Assignment, index: int) -> Report:
    """One report, computed from the trial's very beginning."""
    data = assignment.model_dump(mode="json")
    state = chain.state_at({**data, "config": data["settings"]}, index)
    return Report.model_validate(chain.report(data, state, index))


def simulated(head: Event, order: int = 0, deaths: float = 0.0, kills: tuple[int, ...] = ()) -> list[Event]:
    """A whole sweep that begins with this first event.

    Args:
        order: seeds the interleaving of reports.
        deaths: how likely a worker dies instead of reporting.
        kills: the driver is killed whenever the journal holds so many events.
    """
    described, events = Comparison.model_validate(head["comparison"]), [head]
    for stop in (*kills, None):
        try:
            Simulation(described, events, order, stop_after=stop, curve=chained, deaths=deaths).run()
        except Stopped:
            continue
    events.append({"seq": len(events), "time_ms": events[-1]["time_ms"], "kind": "sweep_done"})
    return events


def head_of(described: Comparison) -> Event:
    """What a sweep's journal begins with, as far as the simulation needs it."""
    return {"seq": 0, "time_ms": 0, "kind": "sweep", "name": "s", "comparison": described.model_dump(mode="json")}
