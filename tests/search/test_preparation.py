"""Artefacts in a sweep, with simulated trials: when they are made, what waits for them, and what their failing ends."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from pydantic import ValidationError

from search.course import Stand
from search.director import DriftError
from search.study import Comparison
from search.verify import verify
from search.wanted import Wanted, recorded, wanted_of
from tests.support.artefacts import spec
from tests.support.simulation import (
    MAKING_FLOPS,
    MAKING_SLICES,
    NEEDY,
    Simulation,
    Stopped,
    comparison,
    decisions,
    needy,
    simulated_making,
)
from tracking.errors import UserError
from tracking.journal import Event
from tracking.record import Cause, Status
from tracking.storage import Place
from trainables.artefact_store import Manifest
from trainables.assignment import Making, Report


def first_event(described: Comparison) -> Event:
    return {"kind": "sweep", "comparison": described.model_dump(mode="json"), **wanted_of(described).to_json()}


def run(described: Comparison, order: int = 0, **arguments: Any) -> list[Event]:
    events: list[Event] = []
    Simulation(described, events, order, wanted=wanted_of(described), **arguments).run()
    return events


def at(events: list[Event], kind: str, uid: str) -> int:
    return next(k for k, e in enumerate(events) if e["kind"] == kind and e["uid"].startswith(uid))


def test_one_is_made_for_all_studies_that_need_it() -> None:
    """Four studies, two problems that wrap the same source, two methods: one key, one trial, asked before all."""
    described = needy()
    wanted = wanted_of(described)
    assert len(wanted.specs) == 1 and len(wanted.needs) == 4
    (key,) = wanted.specs
    assert set(wanted.users(key)) == {(p, m) for p in ("one", "two") for m in ("needs_toy", "also_needs_toy")}
    events = run(described)
    asked = [e for e in events if e["kind"] == "asked" and e["stage"] == "artefact"]
    assert [(e["uid"], e["key"]) for e in asked] == [(f"artefacts/{key[:12]}", key)]
    assert events[0] is asked[0]
    ready = at(events, "ended", "artefacts/")
    needing = [k for k, e in enumerate(events) if e["kind"] == "asked" and "needs_toy" in e["method"]]
    others = [k for k, e in enumerate(events) if e["kind"] == "asked" and e["method"] in ("plain", "budget-unit")]
    assert min(needing) > ready > min(others), "others go on"


def test_another_setting_is_another_artefact() -> None:
    """The negative control of the test above."""
    methods = [{"name": "needs_toy"}, {"name": "needs_toy", "label": "longer", "settings": {"updates": 13}}]
    wanted = wanted_of(needy(methods=methods))
    assert len(wanted.specs) == 2
    assert all(len(wanted.users(key)) == 2 for key in wanted.specs)
    assert len(wanted_of(needy(methods=[NEEDY[1]], seed=1)).specs.keys() | wanted.specs.keys()) == 3, "other data"


def test_what_is_made_is_told_once_with_its_cost_before_its_trial_ends() -> None:
    events = run(needy())
    (made,) = [e for e in events if e["kind"] == "artefact"]
    assert made["key"] == next(iter(wanted_of(needy()).specs)) and made["cached"] is False
    assert made["ledger"]["phases"]["pretrain"]["flops"] == MAKING_FLOPS
    assert made["uri"].endswith(f"artefacts/{made['key']}") and made["sha256"] == "5" * 64
    assert made["spec"]["maker"] == "toy_maker" and made["label"] == "toy_maker on one"
    uid = made["uid"]
    results = [k for k, e in enumerate(events) if e["kind"] == "result" and e["uid"] == uid]
    assert len(results) == MAKING_SLICES
    assert results[-1] < at(events, "artefact", uid) < at(events, "ended", uid)


def test_it_counts_to_no_budget_of_a_study() -> None:
    """However dear it is, the studies decide as they did."""

    def dear(job: Making, index: int) -> Report:
        report = simulated_making(job, index)
        return report.model_copy(update={"flops": report.flops * 1000})

    assert decisions(run(needy())) == decisions(run(needy(), making=dear))


@pytest.mark.parametrize("seed", range(4))
def test_a_killed_and_resumed_sweep_makes_it_once_and_decides_as_before(seed: int) -> None:
    chance, described = random.Random(seed), needy()
    wanted = wanted_of(described)
    whole, events = run(described, order=seed), list[Event]()
    stops = sorted({chance.randrange(1, 14), *chance.sample(range(len(whole)), 3)})  # the first within the making
    for stop in stops:
        with pytest.raises(Stopped):
            Simulation(described, events, chance.randrange(1000), stop_after=max(stop, len(events)),
                       wanted=wanted).run()
    Simulation(described, events, chance.randrange(1000), wanted=wanted).run()
    assert decisions(events) == decisions(whole)
    counts = Counter((e["kind"], e.get("uid"), e.get("index")) for e in events if e["kind"] in ("result", "artefact"))
    assert set(counts.values()) == {1}
    found = verify(described, [first_event(described), *events])
    assert found.faults == () and found.proposals == sum(e["kind"] == "asked" for e in events)


def test_a_worker_that_dies_is_replaced() -> None:
    events = run(needy(retries={"died": 100, "hung": 100, "memory": 100}), deaths=0.2)
    assert any(e["kind"] == "retry" and e["uid"].startswith("artefacts/") for e in events)
    assert sum(e["kind"] == "artefact" for e in events) == 1


@pytest.mark.parametrize("way", ["report", "lost"])
def test_a_failing_maker_ends_the_studies_that_need_it_and_nothing_else(way: str) -> None:
    described = needy(retries={"died": 0})
    wanted, events = wanted_of(described), list[Event]()
    if way == "report":
        def failing(job: Making, index: int) -> Report:
            if index < 2:
                return simulated_making(job, index)
            return Report(uid=job.uid, index=index, status=Status.FAILED, ready=False, score=None, flops=7,
                          metrics={"cost/flops": 7.0}, reason="ValueError: planted")

        director = Simulation(described, events, wanted=wanted, making=failing).run()
    else:
        simulation = Simulation(described, events, wanted=wanted)
        job = simulation.director.next()
        assert isinstance(job, Making)
        simulation.director.lost(job.uid, Cause.DIED, "planted")
        director = simulation.run()
    stands = {key: course.stand for key, course in director.courses.items()}
    assert stands == {(p, m): Stand.DONE if m == "plain" else Stand.FAILED
                      for p in ("one", "two") for m in ("plain", "needs_toy", "also_needs_toy")}
    for (_, method), course in director.courses.items():
        assert (course.reason is None) == (method == "plain")
        assert method == "plain" or "toy_maker on one, which it needs" in str(course.reason)
        assert method == "plain" or "planted" in str(course.reason)
    assert {e["method"] for e in events if e["kind"] == "stage_done" and e["reason"]} == {"needs_toy", "also_needs_toy"}
    assert not [e for e in events if e["kind"] == "asked" and "needs_toy" in e["method"]]
    assert Simulation(described, list(events), wanted=wanted).director.finished, "a failure is replayed"


def stored(wanted: Wanted) -> Manifest:
    ((key, described),) = wanted.specs.items()
    told = simulated_making(Simulation(needy(), [], wanted=wanted).director.next(), MAKING_SLICES - 1).artefact
    return Manifest(key=key, spec=described, file="a.pt", provenance={}, created_ms=0, **{
        name: told[name] for name in ("sha256", "size", "ledger")
    })


def test_what_is_in_the_store_is_not_made_and_charged_the_same() -> None:
    described = needy()
    wanted, events = wanted_of(described), list[Event]()
    simulation = Simulation(described, events, wanted=wanted)
    simulation.director.supply(stored(wanted), Place.of("nowhere"))
    simulation.run()
    made = [e for e in run(described) if e["kind"] == "artefact"]
    found = [e for e in events if e["kind"] == "artefact"]
    assert [e["cached"] for e in made + found] == [False, True]
    assert made[0]["ledger"] == found[0]["ledger"]
    assert not [e for e in events if e["kind"] == "asked" and e["stage"] == "artefact"]
    rest = {key: rows for key, rows in decisions(run(described)).items() if not key.startswith("artefacts")}
    assert decisions(events) == rest
    assert Simulation(described, list(events), wanted=wanted).director.finished
    assert verify(described, [first_event(described), *events]).faults == ()


def test_one_that_is_lost_between_two_drivers_is_made_again_before_its_studies_go_on() -> None:
    described = needy()
    wanted, events = wanted_of(described), list[Event]()
    whole = run(described)
    with pytest.raises(Stopped):
        Simulation(described, events, wanted=wanted, stop_after=len(whole) // 2).run()
    simulation = Simulation(described, events, wanted=wanted)
    (key,) = wanted.specs
    cut = len(events)
    simulation.director.withdraw(key, "somebody deleted it")
    simulation.run()
    again = at(events, "asked", f"artefacts/{key[:12]}-2")
    assert again >= cut and at(events, "ended", f"artefacts/{key[:12]}-2") > again
    between = events[again : at(events, "ended", f"artefacts/{key[:12]}-2")]
    assert not [e for e in between if e["kind"] == "asked" and "needs_toy" in e["method"]]
    without = {name: rows for name, rows in decisions(events).items() if not name.startswith("artefacts")}
    assert without == {name: rows for name, rows in decisions(whole).items() if not name.startswith("artefacts")}
    assert Simulation(described, list(events), wanted=wanted).director.finished


def test_a_sweep_may_make_artefacts_only() -> None:
    described = Comparison.model_validate({"artefacts": [spec(), spec(seed=1)], "plugins": needy().plugins})
    events = run(described)
    assert [e["stage"] for e in events if e["kind"] == "asked"] == ["artefact", "artefact"]
    assert {e["key"] for e in events if e["kind"] == "artefact"} == {spec().key(), spec(seed=1).key()}


@pytest.mark.parametrize("fields", [{}, {"problems": needy().problems}, {"methods": NEEDY, "artefacts": [spec()]}])
def test_a_comparison_of_nothing_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="at least one problem and one method"):
        Comparison.model_validate(fields | {"plugins": needy().plugins})


def test_the_first_event_is_enough_to_go_on() -> None:
    described = needy()
    assert recorded([first_event(described)]) == wanted_of(described)
    assert wanted_of(comparison()).to_json() == {} and recorded([first_event(comparison())]) == Wanted()


def test_nothing_of_it_is_in_a_journal_without_artefacts() -> None:
    """Journals of sweeps that make none are what they were, and those from before still replay."""
    events: list[Event] = []
    Simulation(comparison(), events).run()
    assert not [e for e in events if "artefact" in e or "artefact" in e["kind"]]
    assert "artefacts" not in first_event(comparison())


def test_a_making_that_nobody_wants_is_drift() -> None:
    described = needy()
    events = run(described)
    with pytest.raises(DriftError, match="no such artefact"):
        Simulation(described, events, wanted=Wanted())


def test_needs_that_fail_are_told_before_anything_starts() -> None:
    described = needy(methods=[{"name": "needs_toy", "settings": {"updates": 0}}])
    with pytest.raises(UserError, match=r"(?s)toy_maker.*must be valid.*needs_toy.*horizon"):
        wanted_of(described)


def test_needs_that_are_refused_say_so_once_and_name_the_row() -> None:
    settings = {"extractor": {"settings": {"fixed_entry": 0.0}}}
    problems = [{"label": "digits", "source": {"name": "digits"}}]
    with pytest.raises(UserError, match="`unconditional` on `digits`: fixed_entry") as told:
        wanted_of(comparison(problems=problems, methods=[{"name": "unconditional", "settings": settings}]))
    assert str(told.value).count("hint:") == str(told.value).count("got:") == 1


def test_no_problem_may_be_called_as_the_artefacts_are() -> None:
    with pytest.raises(ValidationError, match="artefacts"):
        comparison(problems=[{"label": "artefacts", "source": {"name": "digits"}}])
