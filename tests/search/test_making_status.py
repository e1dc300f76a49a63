"""What is shown of artefacts while a sweep runs and afterwards."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from search.account import trials
from search.settings import Limits
from search.spending import Spending
from search.status import Standing
from search.study import Comparison
from search.sweep_log import _told
from search.wanted import wanted_of
from tests.support.artefacts import spec
from tests.support.simulation import MAKING_FLOPS, MAKING_SLICES, Simulation, needy
from tracking.journal import Event
from tracking.storage import Place
from trainables.artefact_store import Manifest


def numbered(described: Comparison, reported: list[Event]) -> list[Event]:
    first = {"kind": "sweep", "name": "s", "comparison": described.model_dump(mode="json")}
    events = [first | wanted_of(described).to_json(), *reported, {"kind": "sweep_done"}]
    return [event | {"seq": number, "time_ms": 1000 * number} for number, event in enumerate(events)]


def swept(described: Comparison, supplied: Manifest | None = None) -> list[Event]:
    reported: list[Event] = []
    simulation = Simulation(described, reported, wanted=wanted_of(described))
    if supplied is not None:
        simulation.director.supply(supplied, Place.of("nowhere"))
    simulation.run()
    return numbered(described, reported)


def only() -> Comparison:
    """A sweep that makes one artefact and nothing else."""
    return Comparison.model_validate({"artefacts": [spec()], "plugins": needy().plugins})


def standings(events: list[Event]) -> list[tuple[str, float, float | None]]:
    """After each event: the artefact's word, the share done, the seconds left."""
    standing, found = Standing(), []
    for event in events:
        standing.take(event)
        found.append((next(iter(standing.makings.known.values())).words, standing.share_done, standing.seconds_left))
    return found


def test_a_sweep_that_only_makes_shows_its_progress() -> None:
    events = swept(only())
    found = standings(events)
    words = [key for key, _ in itertools.groupby(word for word, _, _ in found)]
    assert words == ["waiting", "making 0 %", "making 25 %", "making 50 %", "making 75 %", "making 100 %", "ready"]
    shares = [share for _, share, _ in found]
    assert shares == sorted(shares) and shares[0] == 0.0 and shares[-1] == 1.0 and 0.5 in shares
    left = [seconds for word, _, seconds in found if word == "making 50 %"]
    assert left == [pytest.approx(3.0)], "half is done after three seconds"
    standing = Standing()
    for event in events:
        standing.take(event)
    assert standing.total_flops == MAKING_FLOPS and standing.studies == {}
    assert standing.rows() == [("artefacts", "toy_maker on toy", "ready", "", "", "")]
    (record,) = standing.makings.records()
    assert record == {
        "key": spec().key(), "label": "toy_maker on toy", "stage": "ready", "progress": 1.0, "cached": False,
        "flops": float(MAKING_FLOPS), "place": record["place"],
    }


def test_artefacts_of_one_name_are_told_apart() -> None:
    both = [spec(), spec(seed=1)]
    first = numbered(Comparison.model_validate({"artefacts": both, "plugins": needy().plugins}), [])[0]
    standing = Standing()
    standing.take(first)
    assert [row[1] for row in standing.rows()] == [f"toy_maker on toy, {one.key()[:12]}" for one in both]


def test_it_stands_beside_the_studies_and_is_none() -> None:
    described = needy()
    events = swept(described)
    standing, shares = Standing(), []
    for event in events:
        standing.take(event)
        shares.append(standing.share_done)
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert set(standing.studies) == {(p.label, m.key) for p in described.problems for m in described.methods}
    assert next(row[:3] for row in standing.rows()) == ("artefacts", "toy_maker on one", "ready")
    final = {e["uid"]: e["flops"] for e in events if e["kind"] == "result"}
    assert standing.total_flops == sum(final.values())
    assert sum(study.spent_flops for study in standing.studies.values()) == sum(
        flops for uid, flops in final.items() if "/tune-" in uid
    ), "it counts to no budget"


def test_it_counts_in_the_limits_where_it_was_made_here() -> None:
    """What was there already has been paid for by whoever made it."""
    described = only()
    made, first = swept(described), numbered(described, [])[0]
    told = next(e for e in made if e["kind"] == "artefact")
    manifest = Manifest(
        key=told["key"], spec=spec(), file="a.pt", sha256=told["sha256"], size=9, ledger=told["ledger"],
        provenance={}, created_ms=0,
    )
    found = swept(described, manifest)
    spent = []
    for events in (made, found):
        spending = Spending()
        for event in events:
            spending.take(event)
        spent.append((spending.total.asked, spending.total.flops, spending.total.run_seconds))
    assert spent == [(1, MAKING_FLOPS, 2.0 * MAKING_SLICES), (0, 0.0, 0.0)]
    spending = Spending()
    spending.take(first)
    for event in made[1:-3]:
        spending.take(event)
    assert spending.exceeded(Limits(flops=MAKING_FLOPS / 2)) is not None
    assert standings(found)[-1][0] == "found"


def test_one_plain_line_for_what_a_person_wants_to_know() -> None:
    events = swept(only())
    gone = {"kind": "artefact_gone", "key": spec().key(), "reason": "a folder\nwas deleted", "seq": 99, "time_ms": 99}
    standing, told = Standing(), []
    for event in [*events, gone]:
        standing.take(event)
        told += [text for _, text in _told(event | {"time_ms": 0}, standing)]
    assert any("toy_maker on toy is ready: " in line for line in told)
    assert any("toy_maker on toy is made again: a folder" in line for line in told)
    assert any(line.startswith(" 100% artefacts/") or line.startswith("100% artefacts/") for line in told)


def test_a_failed_one_is_shown() -> None:
    def failing(job: Any, index: int) -> Any:
        from trainables.assignment import Report

        return Report(uid=job.uid, index=index, status="failed", ready=False, score=None, flops=0, reason="planted")

    reported: list[Event] = []
    described = only()
    Simulation(described, reported, wanted=wanted_of(described), making=failing).run()
    events = numbered(described, reported)
    word, share, _ = standings(events)[-1]
    assert (word, share) == ("failed", 1.0)
    (trial,) = trials(events).values()
    assert trial.why == "planted"
