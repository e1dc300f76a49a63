"""The best configuration that a study had found by each point of its budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.lines import furthest
from tracking.journal import Event
from tracking.record import Stage, Status


@dataclass(frozen=True, slots=True)
class Incumbent:
    """A configuration from the moment that it was the best one.

    Args:
        spent: FLOPs of all trials of the study by then, stopped ones included.
        score: on the select split; of trials that reached their horizon.
    """

    uid: str
    config: Mapping[str, Any]
    score: float
    spent: int


def incumbents(events: Sequence[Event], problem: str, method: str) -> Iterator[Incumbent]:
    """Each better than the one before, in the order of the journal; a tie leaves the earlier one.

    Where trials are bred, the best of the last whole generation is, whatever it scores: it has come further.

    Args:
        method: label of the row.
    """
    asked: dict[str, Event] = {}
    flops: dict[str, int] = {}
    score: dict[str, float] = {}
    ended: dict[str, Status] = {}
    best: tuple[int, float, int] | None = None
    for event in events:
        if event["kind"] == "asked" and (event["problem"], event["method"], event["stage"]) == (
            problem, method, Stage.TUNE
        ):
            asked[event["uid"]] = event
        elif event["kind"] == "result" and event["uid"] in asked:
            flops[event["uid"]] = max(flops.get(event["uid"], 0), event["flops"])
            if event["score"] is not None:
                score[event["uid"]] = event["score"]
        elif event["kind"] == "ended" and event["uid"] in asked:
            uid, ended[event["uid"]] = event["uid"], Status(event["status"])
            candidates = [uid] if asked[uid].get("generation") is None else _generation(asked, ended)
            for one in candidates:
                if ended[one] is not Status.COMPLETE:
                    continue
                rank = asked[one].get("generation") or 0, score[one], -asked[one]["index"]
                if best is None or rank > best:
                    best = rank
                    yield Incumbent(one, asked[one]["config"], score[one], sum(flops.values()))


def _generation(asked: Mapping[str, Event], ended: Mapping[str, Status]) -> list[str]:
    """The members of the last generation that has just become whole, the best ones last; else none."""
    members = [_Member(uid, event["generation"], ended.get(uid, Status.RUNNING)) for uid, event in asked.items()]
    whole = furthest(members)
    return [] if any(member.status is Status.RUNNING for member in whole) else [member.uid for member in whole]


@dataclass(frozen=True, slots=True)
class _Member:
    uid: str
    generation: int
    status: Status


def at(found: Sequence[Incumbent], budget: float) -> Incumbent | None:
    """The one that a budget would have ended with, in FLOPs; None where no trial had reached its horizon."""
    return next((one for one in reversed(found) if one.spent <= budget), None)
