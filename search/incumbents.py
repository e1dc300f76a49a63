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

    Where trials are bred, the best of the last whole generation is, whatever it scores: it has come further.

    Args:
        method: label of the row.
    """
    asked: dict[str, Event] = {}
    flops: dict[str, int] = {}
    spent = 0
    score: dict[str, float] = {}
    ended: dict[str, Status] = {}
    bred = _Generations()
    best: tuple[int, float, int] | None = None
    for event in events:
        if event["kind"] == "asked" and (event["problem"], event["method"], event["stage"]) == (
            problem, method, Stage.TUNE
        ):
            asked[event["uid"]] = event
            bred.ask(event)
        elif event["kind"] == "result" and event["uid"] in asked:
            more = max(0, event["flops"] - flops.get(event["uid"], 0))
            flops[event["uid"]] = flops.get(event["uid"], 0) + more
            spent += more
            if event["score"] is not None:
                score[event["uid"]] = event["score"]
        elif event["kind"] == "ended" and event["uid"] in asked:
            uid, ended[event["uid"]] = event["uid"], Status(event["status"])
            candidates = [uid] if asked[uid].get("generation") is None else bred.end(asked[uid])
            ranks = {
                (asked[one].get("generation") or 0, score[one], -asked[one]["index"]): one
                for one in candidates if ended[one] is Status.COMPLETE
            }
            # The best of a generation at once: its members are looked at together, at one cost.
            if ranks and (best is None or max(ranks) > best):
                best = max(ranks)
                one = ranks[best]
                yield Incumbent(one, asked[one]["config"], score[one], spent)


class _Generations:
    """Members by generation; what a generation costs is looked at once, when it has become whole."""

    def __init__(self) -> None:
        self._members: dict[int, list[str]] = {}
        self._open: dict[int, int] = {}

    def ask(self, event: Event) -> None:
        if (generation := event.get("generation")) is not None:
            self._members.setdefault(generation, []).append(event["uid"])
            self._open[generation] = self._open.get(generation, 0) + 1

    def end(self, event: Event) -> list[str]:
        """All members of the generation of the one that ended, if they all have and it is as large as the first."""
        generation = event["generation"]
        self._open[generation] -= 1
        members = self._members[generation]
        whole = not self._open[generation] and len(members) >= len(self._members[min(self._members)])
        return list(members) if whole else []


def at(found: Sequence[Incumbent], budget: float) -> Incumbent | None:
    """The one that a budget would have ended with, in FLOPs; None where no trial had reached its horizon."""
    return next((one for one in reversed(found) if one.spent <= budget), None)
