"""What a person sees while a sweep runs: the share done, the time left, one plain line per ended trial."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from search.analysis import rows
from search.progress import Screen, standing_table
from search.status import Standing
from search.words import duration, on_one_line
from tests.support.journals import UNIT_FLOPS, Writer, journal
from tests.support.simulation import Simulation, comparison
from tracking.journal import Event
from tracking.record import Stage, Status
from trainables.assignment import Assignment, Report


def folded(events: list[Event]) -> Standing:
    """The standing after these events."""
    standing = Standing()
    for event in events:
        standing.take(event)
    return standing


def simulated(order: int, **changes: Any) -> list[Event]:
    """A whole sweep as a director decides it, one second per event."""
    described = comparison(**changes)
    events: list[Event] = [{"kind": "sweep", "name": "simulated", "comparison": described.model_dump(mode="json")}]
    reported: list[Event] = []
    Simulation(described, reported, order=order).run()
    events += [*reported, {"kind": "sweep_done"}]
    return [event | {"seq": number, "time_ms": 1000 * number} for number, event in enumerate(events)]


@pytest.fixture(scope="module", params=[0, 1, 2])
def sweep(request: pytest.FixtureRequest) -> list[Event]:
    return simulated(request.param)


def test_the_share_never_falls_and_ends_at_one(sweep: list[Event]) -> None:
    standing, shares = Standing(), []
    for event in sweep:
        standing.take(event)
        shares.append(standing.share_done)
    assert shares[0] == 0.0 and shares[-1] == 1.0
    assert all(before <= after for before, after in itertools.pairwise(shares))
    assert all(0 <= share < 1 for share in shares[:-3])
    assert sum(0.1 < share < 0.9 for share in shares) > len(shares) / 2, "it moves all along, not at the ends only"


def test_time_left_is_positive_until_the_end(sweep: list[Event]) -> None:
    standing, left = Standing(), []
    for event in sweep:
        standing.take(event)
        left.append(standing.seconds_left)
    assert left[0] is None, "no pace yet"
    known = [seconds for seconds in left if seconds is not None]
    assert all(seconds > 0 for seconds in known[:-3])
    assert known[-1] == 0.0
    halfway = known[len(known) // 2]
    assert len(sweep) / 8 < halfway < len(sweep) * 2, "the right order of magnitude: one second per event"


def test_the_end_says_what_the_analysis_says(sweep: list[Event]) -> None:
    standing = folded(sweep)
    final = {e["uid"]: e["flops"] for e in sweep if e["kind"] == "result"}
    assert standing.total_flops == sum(final.values())
    assert standing.state == "done"
    assert {study.stage for study in standing.studies.values()} == {"done"}
    for (problem, method), study in standing.studies.items():
        ended = [e for e in sweep if e["kind"] == "ended" and e["uid"].startswith(f"{problem}/{method}/")]
        assert study.confirmed == sum("/rerun-" in e["uid"] or "/replay-" in e["uid"] for e in ended)
        complete = [e for e in ended if "/tune-" in e["uid"] and e["status"] == Status.COMPLETE]
        assert study.best == max(e["metrics"]["val/score"] for e in complete)
        assert study.tuned == sum("/tune-" in e["uid"] for e in ended)


def test_nothing_is_done_before_anything_is_known() -> None:
    """The plain training that measures the unit is not 100 % of an unknown whole."""
    standing, events = Standing(), journal()
    for event in events:
        if event["kind"] == "ended":
            break
        standing.take(event)
    assert standing.total_flops == UNIT_FLOPS
    assert standing.share_done == 0.0 and standing.seconds_left is None


def test_failed_studies_leave_no_work() -> None:
    def failing(assignment: Assignment, index: int) -> Report:
        from tests.support.simulation import simulated as honest

        if assignment.method == "augnet" and assignment.stage is Stage.TUNE:
            return Report(uid=assignment.uid, index=index, status=Status.FAILED, ready=False, score=None, flops=0,
                          reason="planted\nwith a traceback")
        return honest(assignment, index)

    described, reported = comparison(), []
    Simulation(described, reported, curve=failing).run()
    first = {"kind": "sweep", "comparison": described.model_dump(mode="json")}
    standing = Standing()
    for number, event in enumerate([first, *reported]):
        standing.take(event | {"time_ms": 1000 * number})
    assert standing.share_done == 1.0
    failed = [study for (_, method), study in standing.studies.items() if method == "augnet"]
    assert [(study.stage, study.failed) for study in failed] == [("failed", 3), ("failed", 3)]
    told = [standing.line(event) for event in reported if event["kind"] == "stage_done" and event["reason"]]
    assert len(told) == 2 and all(line and "augnet gave up" in line and "planted" in line for line in told)


REASON = (
    "the probe failed: UserError: features must differ\n  got:  feature sets [0] of 1\n  hint: \x1b[31mother images\n"
    "Traceback (most recent call last):\n  File \"a.py\"\ntracking.errors.UserError: features must differ\n"
    "  got:  feature sets [0] of 1\n  hint: other images"
)
WHOLE = "the probe failed: UserError: features must differ (got: feature sets [0] of 1; hint: [31mother images)"


@pytest.mark.parametrize(("reason", "line"), [
    (REASON, WHOLE),
    ("rule\n  got:  1\n2\n  hint: two\nrest", "rule (got: 1 2; hint: two)"),
    ("rule\n  got:  1\nTraceback (most recent call last):\n  hint: of code", "rule (got: 1)"),
    ("ValueError: bad\nTraceback (most recent call last):\n  File", "ValueError: bad"),
    ("OSError: mine\nTraceback (most recent call last):\n  UserError: rule\n  got:  1\n  hint: 2", "OSError: mine"),
    ("", ""),
])
def test_of_a_users_error_one_line_says_all_and_of_others_the_first(reason: str, line: str) -> None:
    assert on_one_line(reason) == line


def test_why_studies_were_given_up_is_kept_and_each_reason_is_told_once() -> None:
    standing = Standing()
    for method in ("plain", "augnet"):
        standing.take({"kind": "stage_done", "time_ms": 1, "problem": "one", "method": method, "stage": "failed",
                       "reason": REASON})
    standing.take({"kind": "stage_done", "time_ms": 1, "problem": "two", "method": "augnet", "stage": "tune",
                   "reason": None})
    assert standing.given_up() == [f"one/plain and one/augnet gave up: {WHOLE}"]
    line = standing.line({"kind": "ended", "uid": "one/plain/probe", "status": "failed", "metrics": {},
                          "reason": REASON})
    assert line is not None and line.endswith(f"one/plain/probe failed: {WHOLE}")


def test_a_resumed_driver_begins_a_pace_of_its_own() -> None:
    """A night without a driver is no slow sweep."""
    events = journal()
    half = len(events) // 2
    night = 8 * 3600 * 1000
    later = [event | {"time_ms": event["time_ms"] + night} for event in events[half:]]
    resumed = {"kind": "resumed", "time_ms": events[half]["time_ms"] + night - 1000}
    standing = Standing()
    for event in [*events[:half], resumed, *later[:20]]:
        standing.take(event)
    straight = folded(events[: half + 20])
    assert standing.seconds_left is not None and straight.seconds_left is not None
    assert standing.seconds_left < 3 * straight.seconds_left < 3600
    assert standing.share_done == straight.share_done


@pytest.mark.parametrize("change", [{"metrics": {}}, {"metrics": None}, {"flops": 0}])
def test_an_end_without_score_or_cost_leaves_the_others(change: dict[str, Any]) -> None:
    """Of the first of two complete trials; of the cost, its reports tell nothing either."""
    events, uid = journal(), "digits-rotated/plain/tune-0"
    changed = [event | change if event.get("uid") == uid and event["kind"] != "asked" else event for event in events]
    if "metrics" in change:
        changed = [new if new["kind"] == "ended" else old for old, new in zip(events, changed, strict=True)]
    study, before = (folded(e).studies["digits-rotated", "plain"] for e in (changed, events))
    assert (study.best, study.tuned, study.stage) == (before.best, before.tuned, "done") and study.best is not None


def test_interrupted_is_said() -> None:
    standing = folded(journal()[:20])
    standing.take({"kind": "interrupted", "time_ms": 21_000})
    assert standing.foot().startswith("interrupted: ")


def test_rows_are_those_of_the_comparison() -> None:
    events = journal()
    table = folded(events).rows()
    assert {row[:2] for row in table} == {(row.problem, row.method) for row in rows(events)}
    assert table[0][2:] == ("done", "4", "0.7400", "2.8 of 6")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (3600, "1 h 0 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# The screen


def shown(events: list[Event], terminal: bool = False, skip: int = 0) -> str:
    out, times = io.StringIO(), itertools.count(0, 0.1)  # a tenth of a second per event
    console = Console(file=out, force_terminal=terminal, width=100, _environ={})
    with Screen(console, clock=lambda: next(times)) as screen:
        screen.skip(skip)
        for event in events:
            screen(event)
    return out.getvalue()


def test_without_a_terminal_each_ended_trial_is_one_plain_line() -> None:
    events = journal()
    lines = shown(events).splitlines()
    ended = [event for event in events if event["kind"] == "ended"]
    assert lines[0].startswith("sweep: ") and lines[-1].startswith("sweep done: ")
    assert len(lines) == len(ended) + 2
    for line, event in zip(lines[1:-1], ended, strict=True):
        assert event["uid"] in line and event["status"] in line
    assert lines[-2].startswith("100%")


def test_no_control_characters_without_a_terminal() -> None:
    """Not even where a trial failed with a coloured message of several lines."""
    writer = Writer()
    writer.begin(["one"], ["plain"], 1, {})
    reason = "\x1b[31mError\x1b[0m: [bold]no\r\nTrace\n ..."
    writer.trial("one", "plain", Stage.TUNE, 0, 1000, status=Status.FAILED, reason=reason)
    out = shown(writer.events)
    assert all(character.isprintable() or character == "\n" for character in out), repr(out)
    assert "Error" in out and "[bold]no" in out and "Trace" not in out
    assert len(out.splitlines()) == 2


def test_on_a_terminal_there_is_one_screen() -> None:
    """The control of the test above: there the cursor is moved, and the table is drawn."""
    out = shown(journal(), terminal=True)
    assert "\x1b[" in out
    assert "budget used" in out and "augnet" in out


def test_a_resumed_driver_does_not_repeat_what_was_told() -> None:
    events = journal()
    known = len(events) // 2
    both = shown(events[:known]) + shown(events, skip=known)
    assert both == shown(events)


def test_the_table_has_a_row_per_study() -> None:
    table = standing_table(folded(journal()))
    assert table.row_count == 8
    assert [column.header for column in table.columns][:3] == ["problem", "method", "stage"]


def test_observing_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown(journal(), terminal=True)
    assert not list(tmp_path.iterdir())


def test_replays_to_come_cost_what_replays_have_cost(sweep: list[Event]) -> None:
    """Ten times as dear, as with a network of its own: each of those to come is nine replays dearer than foretold."""
    first = next(n for n, e in enumerate(sweep) if e["kind"] == "ended" and "/replay-" in e["uid"])
    uid = sweep[first]["uid"]
    dear = [e | {"flops": 10 * e["flops"]} if e["kind"] == "result" and e["uid"] == uid else e for e in sweep]
    usual, found = folded(sweep[: first + 1]), folded(dear[: first + 1])
    problem, method, _ = uid.split("/")
    study = found.studies[problem, method]
    cost = study.replay_flops / 10
    assert study.replayed == 1 and cost > 0
    to_come = found._seeds * found._replays - 1
    assert to_come > 0
    assert found._left_flops() - usual._left_flops() == pytest.approx(9 * cost * to_come)
