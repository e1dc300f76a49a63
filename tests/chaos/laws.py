"""What must hold of a sweep's journal, however often its processes were killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from search.analysis import decision_table
from tests.chaos import chain
from tracking.journal import Event, of_kind
from tracking.record import Status

WHOLE = (Status.COMPLETE, Status.PRUNED, Status.BUDGET)


class BrokenLaw(AssertionError):
    """A journal shows what must not happen; the message names the trial."""


def ended(events: Sequence[Event]) -> None:
    """The sweep came to its end, once, and nothing was written after it."""
    kinds = [event["kind"] for event in events]
    if kinds.count("sweep_done") != 1 or kinds[-1] != "sweep_done":
        raise BrokenLaw(f"the journal must end with its only `sweep_done`, but ends with {kinds[-3:]}")


def numbered(events: Sequence[Event]) -> None:
    """Sequence numbers without gap, and a clock that does not run backwards."""
    if [event["seq"] for event in events] != list(range(len(events))):
        raise BrokenLaw("sequence numbers must be 0, 1, 2, ...")
    times = [event["time_ms"] for event in events]
    if times != sorted(times):
        raise BrokenLaw("`time_ms` must not run backwards")


def nothing_doubled(events: Sequence[Event]) -> None:
    """No trial is asked or ended twice, and no report counts twice."""
    keys = [
        (event["kind"], event["uid"], event.get("index") if event["kind"] == "result" else None)
        for event in events if event["kind"] in ("asked", "result", "ended", "stage_done")
    ]
    double = [key for key, times in Counter(keys).items() if times > 1]
    if double:
        raise BrokenLaw(f"these stand in the journal more than once: {double[:5]}")


def nothing_lost(events: Sequence[Event]) -> None:
    """Every trial that was asked ended, and its reports are 0, 1, 2, ... without a gap."""
    indices = _indices(events)
    ends = {event["uid"]: event["status"] for event in of_kind(list(events), "ended")}
    for event in of_kind(list(events), "asked"):
        uid = event["uid"]
        if uid not in ends:
            raise BrokenLaw(f"{uid} was asked and never ended")
        if indices.get(uid, []) != list(range(len(indices.get(uid, [])))):
            raise BrokenLaw(f"the reports of {uid} must be 0, 1, 2, ..., but are {indices[uid]}")
        if ends[uid] in WHOLE and uid not in indices:
            raise BrokenLaw(f"{uid} ended as {ends[uid]} without any report")


def nothing_failed(events: Sequence[Event]) -> None:
    """A kill is not the trial's fault: no trial failed."""
    failed = [(e["uid"], e["reason"]) for e in of_kind(list(events), "ended") if e["status"] == Status.FAILED]
    if failed:
        raise BrokenLaw(f"no trial may fail by a kill, but these did: {failed[:3]}")


def curves_are_true(events: Sequence[Event]) -> None:
    """Every report is what an undisturbed trial with the same seed and settings says, to the last bit."""
    asked = {event["uid"]: event for event in of_kind(list(events), "asked")}
    slices = int(events[0]["comparison"]["slices"])
    for event in of_kind(list(events), "result"):
        begun, index = asked[event["uid"]], event["index"]
        method = _method(begun)
        state = chain.state_at({**begun, "method": method}, index)
        true = chain.metrics(state, method, begun["stage"], begun["config"], index, slices)
        if event["metrics"] != true:
            raise BrokenLaw(f"report {index} of {event['uid']} says {event['score']}, alone it is {true['val/score']}")
        last = index + 1 == chain.reports(begun["stage"], slices)
        if (event["status"] == Status.COMPLETE) != last:
            raise BrokenLaw(f"report {index} of {event['uid']} has status {event['status']}")


def same_trials(events: Sequence[Event], reference: Sequence[Event]) -> None:
    """The same trials with the same configurations and outcomes, in any order."""
    here, there = _outcomes(events), _outcomes(reference)
    if here != there:
        differing = sorted(uid for uid in here.keys() | there.keys() if here.get(uid) != there.get(uid))
        raise BrokenLaw(f"trials differ from those of the undisturbed sweep: {differing[:5]}")


def same_table(events: Sequence[Event], reference: Sequence[Event]) -> None:
    """Scores, FLOPs, examples, label reads and decisions are the undisturbed sweep's."""
    if decision_table(events) != decision_table(reference):
        raise BrokenLaw("the table differs from that of the undisturbed sweep")


def one_run_per_trial(events: Sequence[Event], stored: Sequence[tuple[str, Sequence[int]]]) -> None:
    """MLflow shows every trial once, with every report of it once and in order.

    Args:
        stored: uid and steps of every run.
    """
    curves = [(uid, list(steps)) for uid, steps in stored]
    expected = _indices(events)
    if sorted(uid for uid, _ in curves) != sorted(expected):
        raise BrokenLaw("MLflow must hold one run for each trial")
    broken = [uid for uid, steps in curves if steps != expected[uid]]
    if broken:
        raise BrokenLaw(f"these curves in MLflow are not those of the journal: {broken[:5]}")


ALWAYS: tuple[Callable[[Sequence[Event]], None], ...] = (
    ended, numbered, nothing_doubled, nothing_lost, nothing_failed, curves_are_true,
)


def check(events: Sequence[Event], reference: Sequence[Event]) -> None:
    """All laws of a sweep whose decisions do not depend on timing.

    Raises:
        BrokenLaw: naming the first law's first offender.
    """
    for law in ALWAYS:
        law(events)
    same_trials(events, reference)
    same_table(events, reference)


def _indices(events: Sequence[Event]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for event in of_kind(list(events), "result"):
        found.setdefault(event["uid"], []).append(event["index"])
    return found


def _outcomes(events: Sequence[Event]) -> dict[str, tuple[Any, ...]]:
    ends = {event["uid"]: event["status"] for event in of_kind(list(events), "ended")}
    return {e["uid"]: (e["stage"], e["seed"], e["config"], ends.get(e["uid"])) for e in of_kind(list(events), "asked")}


def _method(asked: Mapping[str, Any]) -> str:
    """A unit's trial is one of `plain`, whatever its row is called."""
    return "plain" if asked["stage"] == "unit" else str(asked["method"])
