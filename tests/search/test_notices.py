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
    none = journal({"p": {"augnet": (0.9, 0.91)}, "q": {"augnet": (0.9, 0.91)}}, replays=())
    assert said(none).startswith("There is no control in any of the 2 problems")


def test_machines_of_two_kinds() -> None:
    events = journal()
    ends = [place for place, event in enumerate(events) if event["kind"] == "result"]
    one = [{**e, "hardware": "A"} if place in ends else e for place, e in enumerate(events)]
    assert said(one) == ""
    two = [{**e, "hardware": "B"} if place == ends[-1] else e for place, e in enumerate(one)]
    assert said(two) == "Hardware was mixed (A; B): compare FLOPs, not seconds."


def test_intervals_wider_than_the_scale_are_told_of_accuracies() -> None:
    """Two seeds ten points apart span 2 * 12.7 * 5 points; seven apart span 89. A score of its own has no scale."""
    scores = {"p": {"plain": (0.8, 0.9), "augnet": (0.80, 0.87)}}
    told = "Too few seeds: 95 % intervals of test accuracies are wider than the whole scale of 0 to 100 % (p: 1 of 2)."
    assert said(journal(scores, replays=())) == told
    head, *rest = journal(scores, replays=())
    assert said([{**head, "kinds": {"p": "regression"}}, *rest]) == ""


def unstarted(*methods: str) -> list[Event]:
    writer = Writer()
    writer.begin(["p", "q"], methods, 5, {})
    return [*writer.events, {"kind": "sweep_done", "seq": 9, "time_ms": 0}]


def test_studies_without_a_seed_are_one_notice() -> None:
    few = unstarted("plain")
    assert notices((), few) == ("No seed yet: 2 of 2 studies (p, plain; q, plain).",)
    many = unstarted("plain", "a", "b", "c", "d", "e", "f")
    assert notices((), many) == ("No seed yet: 14 of 14 studies (p: 7, q: 7).",)


def test_missing_seeds_and_studies_of_one_reason_are_told_together() -> None:
    writer = Writer()
    writer.begin(["p"], ["plain", "a", "b", "c"], 2, {})
    for method in ("plain", "a"):
        writer.trial("p", method, Stage.RERUN, 1, 10)
    for method in ("b", "c"):
        writer.trial("p", method, Stage.PROBE, 0, 10, status=Status.FAILED, reason="ValueError: no")
        writer.done("p", method, "failed", "the budget is too small")
    writer.emit("sweep_done")
    assert notices((), writer.events)[:3] == (
        "Not all seeds are there: p, plain (1 of 2); p, a (1 of 2).",
        "p, b; p, c: 2 failed trials; the last of each: ValueError: no",
        "p, b; p, c: the studies were given up: the budget is too small",
    )
