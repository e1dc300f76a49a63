"""The best configuration that a study had found by each point of its budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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

    Where trials are bred, a member of a later generation is the incumbent whatever it scores: it has come further, and
    what would be confirmed is of the last generation.

    Args:
        method: label of the row.
    """
    asked: dict[str, Event] = {}
    flops: dict[str, int] = {}
    score: dict[str, float] = {}
    best: tuple[int, float] | None = None
    for event in events:
        if event["kind"] == "asked" and (event["problem"], event["method"], event["stage"]) == (
            problem, method, Stage.TUNE
        ):
            asked[event["uid"]] = event
        elif event["kind"] == "result" and event["uid"] in asked:
            flops[event["uid"]] = max(flops.get(event["uid"], 0), event["flops"])
            if event["score"] is not None:
                score[event["uid"]] = event["score"]
        elif event["kind"] == "ended" and event["uid"] in asked and event["status"] == Status.COMPLETE:
            uid = event["uid"]
            rank = asked[uid].get("generation") or 0, score[uid]
            if best is None or rank > best:
                best = rank
                yield Incumbent(uid, asked[uid]["config"], score[uid], sum(flops.values()))


def at(found: Sequence[Incumbent], budget: float) -> Incumbent | None:
    """The one that a budget would have ended with, in FLOPs; None where no trial had reached its horizon."""
    return next((one for one in reversed(found) if one.spent <= budget), None)
