"""Which trial comes next: as it is decided now, or as a journal says it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from search.course import Asked, Course
from search.jobs import Jobs, asked_fields
from search.lines import Line
from search.preparation import Making as Stand
from search.preparation import Preparation
from search.wanted import Study
from tracking.errors import UserError
from tracking.journal import Event
from tracking.record import Stage
from trainables.assignment import Assigned, Making

DRAWS = ("index", "seed", "partition")  # of an `asked` event: what the trial's data and weights are drawn by


class DriftError(UserError):
    """The same journal leads this version of the code to another proposal."""


class Belief(StrEnum):
    """How far the proposals in a journal are taken as they are."""

    VERIFY = "verify"  # each is made again and compared
    RESUME = "resume"  # as many as tell another version of the code; the rest is fast
    TRUST = "trust"    # all: the user mixes versions


class Asking:
    """Artefacts first, then the plain trainings that measure the budget, then the studies, longest first.

    Args:
        courses: the studies.
        preparation: what they wait for.
        jobs: makes what a worker is sent.
    """

    def __init__(self, courses: Mapping[Study, Course], preparation: Preparation, jobs: Jobs) -> None:
        self._courses, self._preparation, self._jobs = courses, preparation, jobs

    def next(self) -> Assigned | None:
        """None while everything that could start waits for a running trial."""
        key = self._preparation.next_artefact()
        if key is not None:
            return self._jobs.making(key, self._preparation.ask_artefact(key))
        problem = self._preparation.next_unit()
        if problem is not None:
            self._preparation.ask_unit(problem)
            return self._jobs.unit(problem)
        waiting = [course for course in self._courses.values() if course.may_ask]
        if not waiting:
            return None
        course = max(waiting, key=lambda c: c.remaining_flops)  # longest first: the shortest makespan
        return self._jobs.assignment(course.problem, course.method.key, course.method.name, course.ask())

    def recorded(self, event: Event, belief: Belief) -> Assigned:
        """The trial of an `asked` event.

        Raises:
            DriftError: another one would be asked now.
        """
        stage = Stage(event["stage"])
        if stage is Stage.ARTEFACT:
            return _same_draws(event, self._recorded_making(event), belief)
        problem, row, uid = event["problem"], event["method"], event["uid"]
        if stage is Stage.UNIT:
            self._preparation.ask_unit(problem)
            asked, method = Asked(uid, stage, 0, event["config"]), "plain"
        else:
            course, recorded = self._courses[problem, row], None if belief is Belief.VERIFY else event["config"]
            if not course.may_ask:
                raise _drifted(event, "nothing more of this study")
            asked, method = course.ask(uid, recorded, belief is Belief.TRUST), course.method.name
            if belief is Belief.TRUST:
                asked = replace(asked, settings=event["config"], line=_recorded_line(event, asked.line))
            if _standing(asked.line) != (event.get("generation"), event.get("parent")):
                raise _drifted(event, f"{asked.uid} to go on from {_standing(asked.line)[1]}")
        if (asked.uid, asked.settings) != (uid, event["config"]):
            raise _drifted(event, f"{asked.uid} with {asked.settings}")
        return _same_draws(event, self._jobs.assignment(problem, row, method, asked), belief)

    def _recorded_making(self, event: Event) -> Making:
        if event["key"] not in self._preparation.standing(Stand.WAITING):
            raise _drifted(event, "no such artefact")
        job = self._jobs.making(event["key"], self._preparation.ask_artefact(event["key"]))
        if job.uid != event["uid"]:
            raise _drifted(event, job.uid)
        return job


def _same_draws(event: Event, job: Assigned, belief: Belief) -> Assigned:
    """The job; where decisions are verified, only if it draws its data and weights by what the journal says."""
    told, now = ({name: of.get(name) for name in DRAWS} for of in (event, asked_fields(job)))
    if belief is Belief.VERIFY and told != now:
        raise _drifted(event, f"it with {now}, not {told}")
    return job


def _standing(line: Line | None) -> tuple[int | None, str | None]:
    return (None, None) if line is None else (line.generation, line.parent)


def _recorded_line(event: Event, now: Line | None) -> Line | None:
    """What was trained, whatever this version would breed it from."""
    return None if now is None else replace(now, generation=event["generation"], parent=event["parent"])


def _drifted(event: Event, instead: str) -> DriftError:
    return DriftError(
        "the decisions in a sweep's journal must follow from what was reported",
        f"the journal asked {event['uid']} with {event['config']}, but this version of the code asks {instead}",
        "go on with the version that began the sweep, or a damaged journal's copy",
    )
