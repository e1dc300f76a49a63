"""Reading a journal for those who only look: whole, or one message on why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from annotated_types import Ge
from pydantic import AllowInfNan, BaseModel, Strict, ValidationError

from search.sweep import Sweep, explained, handle
from tracking.errors import UserError
from tracking.events import NewerSchemaError
from tracking.journal import Event, JournalError
from tracking.record import Stage, Status
from tracking.storage import Place

Number = Annotated[float, Strict(), AllowInfNan(False)]  # workers refuse others; one would blank a whole table
OF_TRIALS = ("result", "repeated", "retry", "ended", "lost")


def sound(made: Sweep) -> list[Event]:
    """All events; a last line that a crash has torn never counted, anything else that is wrong is refused.

    Raises:
        UserError: the journal is damaged, cannot be read, or an event of it lacks what its kind carries.
    """
    try:
        with explained(made.place):
            events = made.events()
    except NewerSchemaError as error:
        raise UserError(
            "a sweep must be readable by this version", error, "use the version of invsearch that made it"
        ) from None
    except JournalError as error:
        raise UserError(
            "a sweep's journal must be undamaged", error,
            f"restore it from a copy; or `invsearch resume {handle(made.place)}` keeps it aside and goes on from "
            "what comes before the damage",
        ) from None
    check(events, made.place)
    return events


def check(events: Sequence[Event], place: Place) -> None:
    """Raises UserError where an event lacks what its kind carries, or is of a trial that nobody asked for.

    The first event says what is compared; without it nothing else has a meaning.
    """
    if events and events[0]["kind"] != "sweep":
        raise UserError(
            "a sweep's journal must begin with what is compared", f"{place} begins with `{events[0]['kind']}`",
            "restore the journal from a copy",
        )
    asked: set[str] = set()
    for event in events:
        if (fault := _fault(event, asked)) is not None:
            raise UserError(
                "an event of a sweep's journal must carry what its kind does",
                f"event {event['seq']} of {place}, `{event['kind']}`: {fault}", "restore the journal from a copy",
            )


class _Named(BaseModel):
    label: str


class _Method(BaseModel):
    name: str
    label: str


class _Compared(BaseModel):
    problems: list[_Named]
    methods: list[_Method]
    budget: Number
    confirm_seeds: int


class _Sweep(BaseModel):
    comparison: _Compared


class _Asked(BaseModel):
    uid: str
    problem: str
    method: str
    stage: Stage
    index: int
    config: Mapping[str, Any]


class _Spent(BaseModel):
    uid: str
    index: int
    metrics: Mapping[str, Number]


class _Lost(BaseModel):
    uid: str


class _Result(_Spent):
    status: Status
    score: Number | None
    flops: Annotated[Number, Ge(0)]


class _Ended(BaseModel):
    uid: str
    status: Status
    reason: str | None


class _StageDone(BaseModel):
    problem: str
    method: str
    stage: str
    reason: str | None


class _Warning(BaseModel):
    text: str


class _Artefact(BaseModel):
    key: str
    label: str
    uri: str
    cached: bool
    ledger: Any


class _ArtefactGone(BaseModel):
    key: str
    reason: str


_CARRIED: Mapping[str, type[BaseModel]] = {
    "sweep": _Sweep, "asked": _Asked, "result": _Result, "repeated": _Spent, "retry": _Spent, "ended": _Ended,
    "lost": _Lost,
    "stage_done": _StageDone, "warning": _Warning, "artefact": _Artefact, "artefact_gone": _ArtefactGone,
}


def _fault(event: Event, asked: set[str]) -> str | None:
    """What is wrong with an event; notes which trials were asked for."""
    if (carried := _CARRIED.get(event["kind"])) is None:
        return None
    try:
        carried.model_validate(event)
    except ValidationError as error:
        first = error.errors()[0]
        return f"`{'.'.join(map(str, first['loc']))}`: {first['msg'].lower()}"
    if event["kind"] == "asked":
        asked.add(event["uid"])
    elif event["kind"] in OF_TRIALS and event["uid"] not in asked:
        return f"nobody asked for {event['uid']}"
    return None
