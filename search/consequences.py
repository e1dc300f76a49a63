"""Events that follow from what happened: `ended`, `stage_done`, `artefact` and notes; each is written once.

They are for readers: a sweep that is resumed works them out again, and writes those that are not in its journal yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from search.course import Course, Stand
from tracking.journal import Event
from tracking.record import Status
from trainables.assignment import Report

Emit = Callable[..., Event]


class Consequences:
    """Collects them while an event is taken in, and writes them afterwards.

    Args:
        emit: writes an event to the journal and shows it to the observers.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._waiting: list[tuple[str, str, dict[str, Any]]] = []
        self._written: set[tuple[str, str]] = set()

    def add(self, kind: str, uid: str, fields: dict[str, Any]) -> None:
        self._waiting.append((kind, uid, fields))

    def ended(self, uid: str, status: Status, reason: str | None, last: Report | None) -> None:
        """A trial is over; with its last report, where there is one."""
        self.add("ended", uid, {
            "status": str(status), "reason": reason, "metrics": {} if last is None else last.metrics,
            "ledger": None if last is None else last.ledger,
        })

    def of_stage(self, courses: Iterable[Course]) -> None:
        """A study that entered a new stage has done the one before."""
        done = {Stand.CONFIRM: Stand.TUNE, Stand.DONE: Stand.CONFIRM, Stand.FAILED: Stand.FAILED}
        for course in courses:
            stage = done.get(course.stand)
            if stage is not None:
                self.add("stage_done", f"{course.problem}/{course.method.key}/{stage}", {
                    "problem": course.problem, "method": course.method.key, "stage": str(stage),
                    "reason": course.reason, "summary": summary(course),
                    "limit": None if course.tuning is None else course.tuning.closed,
                })

    def of_sampling(self, courses: Iterable[Course]) -> None:
        """What a person should know about how a study is sampled; each note once."""
        for course in courses:
            for key, text in ({} if course.tuning is None else course.tuning.notes()).items():
                uid = f"{course.problem}/{course.method.key}/{key}"
                if ("warning", uid) not in self._written:
                    self.add("warning", uid, {"text": text})

    def wrote(self, event: Event) -> None:
        """The journal has this one already."""
        if event["kind"] in ("ended", "stage_done", "warning", "artefact") and "uid" in event:
            self._written.add((event["kind"], event["uid"]))

    def settle(self) -> None:
        """Write those that are not in the journal yet."""
        for kind, uid, fields in self._waiting:
            if (kind, uid) not in self._written:
                self._written.add((kind, uid))
                self._emit(kind, uid=uid, **fields)
        self._waiting.clear()


def summary(course: Course) -> dict[str, float]:
    """What a study has used and reached: flat numbers."""
    if course.tuning is None or course.unit_flops is None:
        return {}
    best = course.tuning.best
    statuses = [trial.status for trial in course.tuning.trials.values()]
    numbers = {
        "tune/trials": len(statuses),
        "tune/budget_multiples": course.tuning.spent_flops / course.unit_flops,
        "tune/flops": course.tuning.spent_flops,
        "unit/flops": course.unit_flops,
        "full_horizon/flops": course.tuning.full_flops,
        **{f"tune/{status}": statuses.count(status) for status in Status if status is not Status.RUNNING},
    }
    if best is not None and best.score is not None:
        numbers |= {"tune/best_score": best.score, "tune/best_index": best.index}
    if front := course.tuning.front():
        numbers["tune/front_trials"] = len(front)
        for place, trial in enumerate(front):  # cheapest first; the last one is confirmed
            numbers |= {f"tune/front/{place}/score": trial.score or 0.0, f"tune/front/{place}/flops": trial.flops}
    return {name: float(value) for name, value in numbers.items()}
