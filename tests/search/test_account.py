"""Costs add up, unknown stays unknown, repeated work is counted once more and apart."""

from __future__ import annotations

from typing import Any

import pytest

from search.account import Cost, total, trials, waste
from search.analysis import rows
from search.notices import notices
from tests.support.journals import UNIT_FLOPS, Writer, journal
from tests.support.simulation import Simulation, Stopped, comparison, simulated
from tracking.journal import Event
from tracking.record import Stage, Status
from trainables.assignment import Assignment, Report


def test_costs_add_up_and_peaks_do_not() -> None:
    a = Cost(flops=10, examples=1, cpu_seconds=0.5, peak_host_bytes=100)
    b = Cost(flops=5, examples=2, cpu_seconds=0.25, peak_host_bytes=70)
    both = a + b
    assert (both.flops, both.examples, both.cpu_seconds, both.peak_host_bytes) == (15, 3, 0.75, 100)
    assert both.per(2) == Cost(flops=7.5, examples=1.5, cpu_seconds=0.375, peak_host_bytes=100)


def test_unknown_plus_known_is_unknown() -> None:
    assert (Cost(examples=None) + Cost(examples=3)).examples is None
    assert (Cost(peak_host_bytes=None) + Cost(peak_host_bytes=3)).peak_host_bytes == 3


def test_a_ledger_is_read_by_its_names() -> None:
    cost = Cost.of({"cost/examples": 12.0, "cost/train/examples": 99.0, "evaluation/flops": 7.0}, flops=5)
    assert (cost.flops, cost.examples, cost.evaluation_flops, cost.cpu_seconds) == (5, 12, 7, None)


def test_trials_are_folded_from_events() -> None:
    writer = Writer()
    writer.trial("one", "plain", Stage.TUNE, 0, 100, status=Status.FAILED, reason="ValueError: no\ntrace")
    writer.trial("one", "plain", Stage.TUNE, 1, 300, score=0.75)
    writer.emit(
        "asked", uid="open", problem="one", method="plain", stage="tune", index=2, seed=0, partition=0,
        config={},
    )
    failed, done, running = trials(writer.events).values()
    assert (failed.status, failed.flops, failed.why) == (Status.FAILED, 50, "ValueError: no")
    assert (done.status, done.flops, done.score) == (Status.COMPLETE, 300, 0.75)
    assert (running.status, running.flops) == (Status.RUNNING, 0)
    assert total(trials(writer.events).values()).flops == 350


def test_a_trial_that_said_nothing_counts_as_nothing_in_every_unit_and_is_named() -> None:
    """The worker died before it could report; the rest of the row is known all the same."""
    writer = Writer()
    writer.begin(["one"], ["plain"], 1, {})
    writer.trial("one", "plain", Stage.TUNE, 0, 1000)
    known = total(trials(writer.events).values())
    assert not any("unknown" in notice for notice in notices((), writer.events))
    for index in (1, 2):
        uid = f"one/plain/tune-{index}"
        writer.emit("asked", uid=uid, problem="one", method="plain", stage="tune", index=index, seed=0, partition=0,
                    config={})
        writer.emit("lost", uid=uid, cause="died", reason="killed")
        assert total(trials(writer.events).values()) == known != Cost(), "asked, and nothing heard"
        writer.emit("ended", uid=uid, status="failed", reason="killed", metrics={}, ledger=None)
        assert total(trials(writer.events).values()) == known
        told = "1 trial failed before its first report: its" if index == 1 else (
            "2 trials failed before their first report: their"
        )
        said = f"{told} cost is unknown and counts as nothing ({index} of one/plain)."
        assert said in notices((), writer.events)
    (row,) = rows(writer.events)
    assert row.total == known and row.total.cpu_seconds is not None


def result(kind: str, index: int, flops: int) -> Event:
    metrics = {"cost/flops": float(flops), "cost/cpu_seconds": flops / 10}
    event: dict[str, Any] = {"kind": kind, "uid": "t", "index": index, "metrics": metrics}
    return event | ({"flops": flops} if kind == "result" else {})


def test_waste_is_the_increments_of_what_was_repeated() -> None:
    """Ledgers 10, 30, 60; restarted from the checkpoint before report 1, and later from the start."""
    first = [result("result", 0, 10), result("result", 1, 30), result("result", 2, 60)]
    from_checkpoint = [result("repeated", 1, 30), result("repeated", 2, 60)]
    from_start = [result("repeated", 0, 10), result("repeated", 1, 30)]
    assert waste(first).flops == 0
    assert waste([*first, *from_checkpoint]).flops == 50
    assert waste([*first, *from_checkpoint, *from_start]).flops == 80
    assert waste([*first, *from_checkpoint]).cpu_seconds == pytest.approx(5.0)


def test_the_same_report_repeated_twice_is_paid_twice() -> None:
    first = [result("result", 0, 10), result("result", 1, 30)]
    assert waste([*first, result("repeated", 1, 30), result("repeated", 1, 30)]).flops == 40


def costed(assignment: Assignment, index: int) -> Report:
    report = simulated(assignment, index)
    return report.model_copy(update={"metrics": report.metrics | {"cost/flops": float(report.flops)}})


def test_a_killed_director_wastes_what_its_trials_did_again() -> None:
    """Without checkpoints, everything that open trials had reported is repeated: no more, no less."""
    events: list[Event] = []
    with pytest.raises(Stopped):
        Simulation(comparison(), events, stop_after=60, curve=costed).run()
    before = trials(events)
    assert waste(events) == Cost()
    Simulation(comparison(), events, checkpoint_every=100, curve=costed).run()
    repeated = {event["uid"] for event in events if event["kind"] == "repeated"}
    assert len(repeated) >= 2
    assert waste(events).flops == sum(before[uid].flops for uid in repeated)


def test_the_totals_leave_waste_out() -> None:
    whole = journal()
    assert total(trials(whole).values()).flops > UNIT_FLOPS
    again = [*whole, result("repeated", 0, 10) | {"uid": next(iter(trials(whole)))}]
    assert total(trials(again).values()) == total(trials(whole).values())
