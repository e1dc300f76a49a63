"""The simulated cluster against the plain simulation, and what no schedule can undercut."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from search.director import Director
from search.simulator import Delays, Outcome, Simulator, Work
from search.study import Comparison
from tests.support.simulation import Simulation, comparison, decisions, simulated
from tracking.journal import Event
from tracking.storage import Place
from trainables.assignment import Assignment

SECONDS = {"plain": 1.0, "trivial_augment": 1.5, "augnet": 4.0}  # of one slice


def work(assignment: Assignment, index: int) -> Work:
    return Work(SECONDS[assignment.method], simulated(assignment, index))


def run(slots: int, delays: Delays | None = None, **changes: Any) -> tuple[Outcome, list[Event]]:
    events: list[Event] = []

    def emit(kind: str, **fields: Any) -> Event:
        events.append({"seq": len(events), "time_ms": 0, "kind": kind, **fields})
        return events[-1]

    described = comparison(**changes)
    assert isinstance(described, Comparison)
    director = Director(described, Place.of("nowhere"), Path("nowhere"), emit)
    return Simulator(director, slots, work, delays).run(), events


def most_in_flight(events: Iterable[Event]) -> int:
    open_now = most = 0
    for event in events:
        open_now += {"asked": 1, "ended": -1}.get(event["kind"], 0)
        most = max(most, open_now)
    return most


def test_one_slot_is_busy_all_the_time() -> None:
    outcome, _ = run(1)
    assert outcome.efficiency == pytest.approx(1.0)
    assert outcome.makespan == pytest.approx(outcome.work)


@pytest.mark.parametrize("slots", [2, 3, 7, 40])
def test_no_schedule_beats_the_work_and_the_longest_study(slots: int) -> None:
    outcome, events = run(slots)
    assert outcome.makespan >= outcome.work / slots
    assert outcome.makespan >= 9 * SECONDS["augnet"] * 2  # one trial to tune, one to confirm, after each other
    assert 0 < outcome.efficiency <= 1
    assert most_in_flight(events) <= slots + 1


def test_more_slots_would_be_noticed() -> None:
    assert most_in_flight(run(7)[1]) > 4  # negative control of the bound above


@pytest.mark.parametrize("slots", [1, 4, 16])
def test_it_decides_as_the_plain_simulation(slots: int) -> None:
    """One trial at a time in each study: no decision depends on who drives, or on how long anything takes."""
    reference: list[Event] = []
    Simulation(comparison(parallel_trials=1), reference).run()
    assert decisions(run(slots, parallel_trials=1)[1]) == decisions(reference)


def test_parallel_trials_decide_otherwise() -> None:
    assert decisions(run(16, parallel_trials=4)[1]) != decisions(run(16, parallel_trials=1)[1])  # negative control


def test_a_driver_that_takes_its_time_is_waited_for() -> None:
    ideal, _ = run(4)
    slow, events = run(4, Delays(start=0.5, message=0.25))
    messages = len(slow.trials) + sum(trial.reports for trial in slow.trials)
    assert slow.makespan >= 0.25 * messages  # it does one thing at a time
    assert slow.makespan > ideal.makespan and slow.work == pytest.approx(ideal.work)
    alone, _ = run(1, Delays(start=0.5))
    assert alone.makespan == pytest.approx(alone.work + 0.5 * len(alone.trials))
    assert sum(e["kind"] == "result" for e in events) == sum(trial.reports for trial in slow.trials)


def test_it_ends_early_where_enough_is_known() -> None:
    director = Director(comparison(), Place.of("nowhere"), Path("nowhere"), lambda kind, **fields: {})
    outcome = Simulator(director, 4, work).run(lambda so_far: len(so_far.trials) >= 20)
    assert 20 <= len(outcome.trials) <= 25 and not director.finished
    assert all(trial.decision_seconds >= trial.ask_seconds > 0 for trial in outcome.trials)
