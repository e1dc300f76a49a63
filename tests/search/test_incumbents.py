"""The best by each point of a budget: against the tuning's own best, and against sweeps that had only that budget."""

from __future__ import annotations

from typing import Any

import pytest

from search.incumbents import at, incumbents
from tests.support.simulation import Simulation, comparison, simulated
from tracking.journal import Event
from trainables.assignment import Assignment, Report

BUDGETS = (1.5, 3.0, 6.0)


def swept(budget: float, **changes: Any) -> tuple[Simulation, list[Event]]:
    events: list[Event] = []
    made = Simulation(comparison(budget=budget, **changes), events)
    made.run()
    return made, events


def test_the_last_one_is_what_the_tuning_chose() -> None:
    made, events = swept(8.0, methods=[{"name": "plain"}, {"name": "augnet"}, {"name": "pba"}])
    for (problem, method), course in made.director.courses.items():
        found = list(incumbents(events, problem, method))
        assert course.best is not None
        assert (found[-1].uid, found[-1].score) == (course.best.uid, course.best.score)
        assert [one.spent for one in found] == sorted({one.spent for one in found}), "one at each cost"
        if method != "pba":
            assert [one.score for one in found] == sorted({one.score for one in found}), "each is better"


def test_by_a_budget_it_is_what_a_sweep_of_that_budget_ends_with() -> None:
    """Proposals and rungs do not look at the budget, so the shorter sweep is a prefix of the longer one."""
    _, long = swept(12.0)
    seen = []
    for budget in BUDGETS:
        made, _ = swept(budget)
        for (problem, method), course in made.director.courses.items():
            assert course.tuning is not None
            one = at(list(incumbents(long, problem, method)), course.tuning.spent_flops)
            assert (None if one is None else one.uid) == (None if course.best is None else course.best.uid)
            seen.append(None if one is None else one.uid)
    assert len(set(seen)) > len(made.director.courses), "they differ between budgets"


def test_before_the_first_whole_trial_there_is_none_and_failures_are_no_candidates() -> None:
    def fails(assignment: Assignment, index: int) -> Report:
        report = simulated(assignment, index)
        return report.model_copy(update={"score": None}) if assignment.uid.endswith("tune-000") else report

    events: list[Event] = []
    Simulation(comparison(max_failures=50, methods=[{"name": "plain"}]), events, curve=fails).run()
    found = list(incumbents(events, "one", "plain"))
    assert found and all(not one.uid.endswith("tune-000") for one in found)
    assert at(found, found[0].spent - 1) is None
    assert at(found, found[0].spent) is found[0]
    assert list(incumbents(events, "one", "augnet")) == []


@pytest.mark.parametrize("where", [0.0, 1e18])
def test_without_candidates_there_is_nothing_at_any_budget(where: float) -> None:
    assert at([], where) is None
