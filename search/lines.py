"""Lines of trials that are bred: where each leaves its state for the next generation, and when that is outgrown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from tracking.journal import Event
from tracking.record import Status
from tracking.storage import Place

FOLDER = "lines"  # below the sweep; then by problem, row and generation


@dataclass(frozen=True, slots=True)
class Line:
    """Where a trial that is bred stands.

    Args:
        generation: counted from 0.
        parent: uid of the trial whose state it goes on from; None in generation 0.
        last: no other trial goes on from it.
    """

    generation: int
    parent: str | None
    last: bool


class Member(Protocol):
    """A trial that is bred."""

    @property
    def generation(self) -> int | None: ...
    @property
    def status(self) -> Status: ...


M = TypeVar("M", bound=Member)


def furthest(trials: Iterable[M]) -> list[M]:
    """The last generation whose members have all ended, the first one where none has.

    All generations have as many members as the first: one that is cut short is judged by nobody, for its first members
    to end would be the best of it whatever they score.
    """
    generations: dict[int, list[M]] = {}
    for trial in trials:
        generations.setdefault(trial.generation or 0, []).append(trial)
    size = len(generations.get(0, ()))
    whole = [
        number for number, members in generations.items()
        if len(members) == size and all(member.status is not Status.RUNNING for member in members)
    ]
    return generations.get(max(whole, default=0), [])


def fields(sweep: Place, uid: str, line: Line | None) -> dict[str, Any]:
    """Of a trial's assignment: its generation, where it begins, and where it leaves its state.

    Args:
        uid: "PROBLEM/ROW/TRIAL".
    """
    if line is None:
        return {}
    parent = "" if line.parent is None else str(_state(sweep, line.parent, line.generation - 1))
    own = "" if line.last else str(_state(sweep, uid, line.generation))
    return {"generation": line.generation, "parent": line.parent, "inherited": parent, "bequest": own}


def outgrown(sweep: Place, event: Event) -> Place | None:
    """What nobody goes on from any more, now that this happened.

    With the first trial of a generation all of the one before have ended, so the one before that is done with.
    """
    if event["kind"] == "sweep_done":
        return sweep / FOLDER
    if event["kind"] == "stage_done":
        return _study(sweep, event)
    if event["kind"] == "asked" and (event.get("generation") or 0) >= 2:
        return _study(sweep, event) / str(event["generation"] - 2)
    return None


def _study(sweep: Place, event: Event) -> Place:
    return sweep / FOLDER / str(event["problem"]) / str(event["method"])


def _state(sweep: Place, uid: str, generation: int) -> Place:
    study, _, trial = uid.rpartition("/")
    return sweep / FOLDER / study / str(generation) / trial
