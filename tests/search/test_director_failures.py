"""What the director does where trials fail, workers die and reports are missing."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from search.course import Stand
from search.plan import given_up, unit_failed
from search.tuning import Verdict
from tests.support.simulation import SLICES, Simulation, Stopped, comparison, decisions, simulated, undisturbed
from tracking.journal import Event
from tracking.record import Cause, NotFiniteError, Stage, Status
from trainables.assignment import Assignment, Report


@pytest.mark.parametrize("seed", range(6))
def test_workers_that_die_change_no_decision(seed: int) -> None:
    """One report in ten is answered by a death, and the driver is killed twice on top."""
    chance, patient = random.Random(seed), {"retries": dict.fromkeys(("died", "hung", "memory"), 100)}
    whole, events = undisturbed(order=seed), list[Event]()
    for stop in (len(whole) // 3, len(whole)):
        with pytest.raises(Stopped):
            Simulation(comparison(**patient), events, chance.randrange(1000), stop_after=stop, deaths=0.1).run()
    director = Simulation(comparison(**patient), events, chance.randrange(1000), deaths=0.1).run()
    retries = [e for e in events if e["kind"] == "retry"]
    assert len(retries) > 20 and {e["cause"] for e in retries} == {"died", "hung", "memory"}
    assert decisions(events) == decisions(whole)
    results = [(e["uid"], e["index"]) for e in events if e["kind"] == "result"]
    assert len(results) == len(set(results))
    assert set(results) == {(e["uid"], e["index"]) for e in whole if e["kind"] == "result"}
    assert director.finished


def test_control_without_retries_deaths_do_change_decisions() -> None:
    events: list[Event] = []
    Simulation(comparison(retries=dict.fromkeys(("died", "hung", "memory"), 0)), events, deaths=0.02).run()
    assert any(e["kind"] == "lost" for e in events)
    assert decisions(events) != decisions(undisturbed())


def stumbling(cause: Cause, uid: str, at: int, times: int) -> tuple[Any, list[int]]:
    """A curve that fails `times` times at one report of one trial; and what that trial was asked to make."""
    asked: list[int] = []

    def curve(assignment: Assignment, index: int) -> Report:
        if assignment.uid == uid:
            asked.append(index)
            if index == at and asked.count(at) <= times:
                spent = {"cost/flops": 7.0, "val/score": 0.5}
                return Report(uid=uid, index=index, status=Status.FAILED, ready=False, score=None, flops=7,
                              metrics=spent, reason="ValueError: planted", cause=cause)
        return simulated(assignment, index)

    return curve, asked


@pytest.mark.parametrize("cause", list(Cause))
def test_a_trial_is_started_again_as_often_as_its_cause_allows(cause: Cause) -> None:
    uid, whole = "one/plain/rerun-1", undisturbed()
    curve, asked = stumbling(cause, uid, at=5, times=2)
    events: list[Event] = []
    Simulation(comparison(retries={str(cause): 2}), events, curve=curve).run()
    assert [(e["attempt"], e["cause"], e["index"]) for e in events if e["kind"] == "retry"] == [
        (1, str(cause), 5), (2, str(cause), 5)
    ]
    assert asked == [0, 1, 2, 3, 4, 5, 4, 5, 4, 5, 6, 7, 8]  # each time from the checkpoint after four
    assert decisions(events) == decisions(whole)
    once: list[Event] = []
    curve, _ = stumbling(cause, uid, at=5, times=2)
    Simulation(comparison(retries={str(cause): 1}), once, curve=curve).run()
    assert next(e for e in once if e["kind"] == "ended" and e["uid"] == uid)["status"] == "failed"


def test_only_failures_without_progress_are_counted() -> None:
    """A long trial on machines that are taken away again and again goes on as long as it comes further."""
    uid, failed = "one/plain/rerun-1", Counter[int]()

    def curve(assignment: Assignment, index: int) -> Report:
        if assignment.uid == uid and index > 0 and failed[index] == 0:
            failed[index] += 1
            return Report(uid=uid, index=index, status=Status.FAILED, ready=False, score=None, flops=0,
                          reason="planted", cause=Cause.DIED)
        return simulated(assignment, index)

    events: list[Event] = []
    Simulation(comparison(retries={"died": 1}), events, curve=curve, checkpoint_every=1).run()
    assert [e["attempt"] for e in events if e["kind"] == "retry"] == [1] * (SLICES - 1)
    assert next(e for e in events if e["kind"] == "ended" and e["uid"] == uid)["status"] == "complete"


def test_a_report_that_leaves_a_gap_is_not_believed() -> None:
    """The trial goes on from what the journal holds; its worker is stopped."""
    events: list[Event] = []
    director = Simulation(comparison(), events).director
    unit = director.next()
    assert unit is not None
    assert director.report(simulated(unit, 0)) is Verdict.CONTINUE
    assert director.report(simulated(unit, 2)) is Verdict.STOP
    assert [e["index"] for e in events if e["kind"] == "result"] == [0]
    again = next(iter(director.next, None), None)
    assert again is not None and (again.uid, again.known) == (unit.uid, 1)
    assert director.report(simulated(unit, 1)) is Verdict.CONTINUE


def failing(bad: str, reason: str = "ValueError: planted") -> Any:
    def curve(assignment: Assignment, index: int) -> Report:
        if bad in assignment.uid:
            return Report(uid=assignment.uid, index=index, status=Status.FAILED, ready=False, score=None, flops=0,
                          reason=reason)
        return simulated(assignment, index)

    return curve


@pytest.mark.parametrize(
    ("bad", "lost"),
    [
        ("one/plain/probe", {("one", "plain")}),
        ("one/unit", {("one", "plain"), ("one", "trivial_augment"), ("one", "augnet")}),
        ("two/augnet/tune", {("two", "augnet")}),
        ("two/augnet/tune-001", set()),
        ("one/augnet/rerun-1", set()),
    ],
)
def test_a_failure_ends_what_it_must_and_nothing_else(bad: str, lost: set[tuple[str, str]]) -> None:
    events: list[Event] = []
    director = Simulation(comparison(), events, curve=failing(bad)).run()
    assert {key for key, course in director.courses.items() if course.stand is Stand.FAILED} == lost
    assert any(e["kind"] == "ended" and e["status"] == "failed" and "planted" in e["reason"] for e in events)
    given_up = {(e["problem"], e["method"]) for e in events if e["kind"] == "stage_done" and e["reason"]}
    assert given_up == lost
    for key in lost:
        assert "planted" in (director.courses[key].reason or "")
    again = Simulation(comparison(), list(events), curve=failing(bad)).director
    assert again.finished  # a failure is replayed like anything else


def test_a_lost_worker_is_a_failed_trial() -> None:
    events: list[Event] = []
    simulation = Simulation(comparison(retries={"died": 0}), events)
    unit = simulation.director.next()
    assert unit is not None and unit.stage is Stage.UNIT
    simulation.director.lost(unit.uid, Cause.DIED, "the worker died")
    ended = next(e for e in events if e["kind"] == "ended")
    assert (ended["status"], ended["reason"]) == ("failed", "the worker died")
    assert simulation.director.courses["one", "plain"].stand is Stand.FAILED


@pytest.mark.parametrize(("error", "helped"), [(NotFiniteError, True), (OSError, False)])
def test_a_unit_that_diverged_says_which_setting_to_change(error: type[Exception], helped: bool) -> None:
    reason = f"{error.__name__}: planted\nTraceback (most recent call last):\n  File"
    assert ("learning_rate" in unit_failed(reason).splitlines()[0]) == helped
    events: list[Event] = []
    Simulation(comparison(), events, curve=failing("one/unit", reason)).run()
    said = [e["reason"] for e in events if e["kind"] == "stage_done" and e["problem"] == "one" and e["reason"]]
    assert said and set(said) == {unit_failed(reason)} == set(given_up(events).values())
