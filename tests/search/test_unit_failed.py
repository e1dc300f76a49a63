"""A budget's unit that does not end: what its reason says, in the stages of the studies and in the report's notices."""

from __future__ import annotations

from typing import Any

import pytest

from search.plan import given_up, unit_failed
from tests.support.simulation import Simulation, comparison, simulated
from tracking.journal import Event
from tracking.record import NotFiniteError, Status
from trainables.assignment import Assignment, Report


def curve_with(reason: str) -> Any:
    def curve(assignment: Assignment, index: int) -> Report:
        if "one/unit" in assignment.uid:
            return Report(uid=assignment.uid, index=index, status=Status.FAILED, ready=False, score=None, flops=0,
                          reason=reason)
        return simulated(assignment, index)

    return curve


@pytest.mark.parametrize(("error", "helped"), [(NotFiniteError, True), (OSError, False)])
def test_one_that_diverged_says_which_setting_to_change(error: type[Exception], helped: bool) -> None:
    reason = f"{error.__name__}: planted"
    assert ("learning_rate" in unit_failed(reason)) == helped
    events: list[Event] = []
    Simulation(comparison(), events, curve=curve_with(reason)).run()
    said = [e["reason"] for e in events if e["kind"] == "stage_done" and e["problem"] == "one" and e["reason"]]
    assert said and set(said) == {unit_failed(reason)}
    assert set(given_up(events).values()) == {unit_failed(reason)}
