"""What a report says at its top; a whole, sound sweep has nothing there."""

from __future__ import annotations

from search.analysis import rows
from search.notices import notices
from tests.support.journals import Writer, journal
from tracking.journal import Event
from tracking.record import Stage, Status


def said(events: list[Event]) -> str:
    return " ".join(notices(rows(events), events))


def test_a_whole_sweep_needs_none() -> None:
    assert said(journal()) == ""


def test_running_failed_and_mixed_versions() -> None:
    assert "not finished" in said(journal()[:-1])
    writer = Writer()
    writer.begin(["p"], ["plain"], 1, {})
    writer.trial("p", "plain", Stage.TUNE, 0, 10, status=Status.FAILED, reason="ValueError: no")
    assert "1 failed trial; the last: ValueError: no" in said(writer.events)
    drifted = [*journal(), {"kind": "resumed", "seq": 0, "time_ms": 0, "drift": ["torch 2.14 then, 2.15 now"]}]
    assert "Versions were mixed: torch 2.14 then, 2.15 now." in said([*drifted, {"kind": "sweep_done", "time_ms": 0}])


def test_one_seed_and_no_control() -> None:
    assert "There is one seed" in said(journal({"p": {"plain": (0.8,), "augnet": (0.9,)}}, replays=()))
    assert "one seed" not in said(journal({"p": {"plain": (0.8, 0.9), "augnet": (0.9,)}}, replays=()))
    assert "p: there is no control" in said(journal({"p": {"augnet": (0.9, 0.91)}}, replays=()))


def test_machines_of_two_kinds() -> None:
    events = journal()
    ends = [place for place, event in enumerate(events) if event["kind"] == "result"]
    one = [{**e, "hardware": "A"} if place in ends else e for place, e in enumerate(events)]
    assert said(one) == ""
    two = [{**e, "hardware": "B"} if place == ends[-1] else e for place, e in enumerate(one)]
    assert said(two) == "Hardware was mixed (A; B): compare FLOPs, not seconds."
