"""The laws hold of an undisturbed sweep, and each rejects the journal that breaks it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos import laws
from tests.chaos.undisturbed import head_of, simulated
from tests.support.simulation import comparison
from tracking.journal import Event

Spoil = Callable[[list[Event]], None]


@pytest.fixture(scope="module")
def whole() -> list[Event]:
    return simulated(head_of(comparison()))


def test_all_laws_hold_of_a_sweep_in_another_order_with_deaths_and_kills(whole: list[Event]) -> None:
    laws.check(whole, whole)
    disturbed = simulated(head_of(comparison()), order=5, deaths=0.01, kills=(40, 300))
    assert any(event["kind"] == "retry" for event in disturbed)
    laws.check(disturbed, whole)


def first(events: list[Event], kind: str, **where: Any) -> int:
    """Position of the first such event."""
    return next(n for n, e in enumerate(events) if e["kind"] == kind and all(e[k] == v for k, v in where.items()))


def again(events: list[Event], kind: str) -> None:
    events.insert(-1, copy.deepcopy(events[first(events, kind)]))


def without(events: list[Event], kind: str, **where: Any) -> None:
    del events[first(events, kind, **where)]


def changed(events: list[Event], kind: str, **fields: Any) -> None:
    events[first(events, kind)].update(fields)


def wrong_restart(events: list[Event]) -> None:
    """A trial went on from a state that was not its own."""
    at = first(events, "result", index=5)
    events[at]["metrics"] = events[at]["metrics"] | {"val/score": events[at]["score"] + 1e-9}


@pytest.mark.parametrize(
    ("law", "spoil"),
    [
        (laws.ended, lambda events: events.pop()),
        (laws.ended, lambda events: events.append(events[-1])),
        (laws.numbered, lambda events: without(events, "result", index=3)),
        (laws.numbered, lambda events: changed(events, "asked", time_ms=5)),
        (laws.nothing_doubled, lambda events: again(events, "result")),
        (laws.nothing_doubled, lambda events: again(events, "asked")),
        (laws.nothing_doubled, lambda events: again(events, "ended")),
        (laws.nothing_lost, lambda events: without(events, "result", index=3)),
        (laws.nothing_lost, lambda events: without(events, "ended")),
        (laws.nothing_failed, lambda events: changed(events, "ended", status="failed", reason="planted")),
        (laws.curves_are_true, wrong_restart),
        (laws.curves_are_true, lambda events: changed(events, "result", status="complete")),
    ],
)
def test_each_law_rejects_what_breaks_it(whole: list[Event], law: Callable[[list[Event]], None], spoil: Spoil) -> None:
    spoiled = copy.deepcopy(whole)
    law(spoiled)
    spoil(spoiled)
    with pytest.raises(laws.BrokenLaw):
        law(spoiled)


def test_another_decision_is_another_sweep(whole: list[Event]) -> None:
    other = copy.deepcopy(whole)
    other[first(other, "asked", stage="tune")]["config"] = {"learning_rate": 0.3}
    with pytest.raises(laws.BrokenLaw):
        laws.same_trials(other, whole)
    with pytest.raises(laws.BrokenLaw):
        laws.same_table(other, whole)


def test_a_second_run_and_a_broken_curve_are_seen(whole: list[Event]) -> None:
    curves: dict[str, list[int]] = {}
    for event in whole:
        if event["kind"] == "result":
            curves.setdefault(event["uid"], []).append(event["index"])
    laws.one_run_per_trial(whole, list(curves.items()))
    uid = next(uid for uid, steps in curves.items() if len(steps) > 2)
    for spoiled in (
        [*curves.items(), (uid, curves[uid])],
        list((curves | {uid: curves[uid][1:]}).items()),
        list((curves | {uid: [*curves[uid], curves[uid][-1]]}).items()),
    ):
        with pytest.raises(laws.BrokenLaw):
            laws.one_run_per_trial(whole, spoiled)
