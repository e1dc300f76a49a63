"""What has to be there before studies can begin: artefacts, and the plain training that measures the budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from search.course import Course
from search.wanted import Study, Wanted
from tracking.storage import Place


class Making(StrEnum):
    """How far an artefact is."""

    WAITING = "waiting"
    ASKED = "asked"
    READY = "ready"
    FAILED = "failed"


class Preparation:
    """Holds back the studies that lack something, and ends those that will never get it.

    Args:
        problems: labels; each has a budget unit.
        courses: the studies.
        wanted: the artefacts.
    """

    def __init__(self, problems: Iterable[str], courses: Mapping[Study, Course], wanted: Wanted) -> None:
        self.wanted = wanted
        self._problems, self._courses = list(problems), courses
        self._units_asked: set[str] = set()
        self._stands = dict.fromkeys(wanted.specs, Making.WAITING)
        self._attempts = dict.fromkeys(wanted.specs, 0)
        for study, names in wanted.needs.items():
            for key in names.values():
                courses[study].lack(key)

    @property
    def settled(self) -> bool:
        """Whether no artefact is still to come."""
        return all(stand in (Making.READY, Making.FAILED) for stand in self._stands.values())

    def next_artefact(self) -> str | None:
        """The key of one that nobody makes yet; these come first of all, since studies wait for them."""
        return next((key for key, stand in self._stands.items() if stand is Making.WAITING), None)

    def next_unit(self) -> str | None:
        """A problem whose budget unit nobody measures yet."""
        return next((problem for problem in self._problems if problem not in self._units_asked), None)

    def standing(self, stand: Making) -> list[str]:
        """The keys that stand so."""
        return [key for key, known in self._stands.items() if known is stand]

    def ask_unit(self, problem: str) -> None:
        self._units_asked.add(problem)

    def ask_artefact(self, key: str) -> int:
        """Somebody makes it now; how often it was asked before."""
        self._stands[key] = Making.ASKED
        self._attempts[key] += 1
        return self._attempts[key] - 1

    def provide(self, key: str) -> None:
        """It is in the store."""
        self._stands[key] = Making.READY
        for course in self.users(key):
            course.provide(key)

    def withdraw(self, key: str) -> None:
        """It is no longer in the store, and is made again: studies that are under way wait for it."""
        self._stands[key] = Making.WAITING
        for course in self.users(key):
            course.lack(key)

    def fail(self, key: str, reason: str) -> None:
        """It cannot be made: the studies that need it end."""
        self._stands[key] = Making.FAILED
        for course in self.users(key):
            if not course.settled:
                course.fail(f"{self.wanted.specs[key].label}, which it needs, could not be made: {reason}")

    def described(self, key: str, place: Place) -> dict[str, Any]:
        """What the `artefact` event says of it before anything is known of its file."""
        spec = self.wanted.specs[key]
        return {"key": key, "label": spec.label, "spec": spec.model_dump(mode="json"), "uri": str(place)}

    def still_used(self, key: str) -> bool:
        """Whether something waits for it: a study under way, or the sweep itself, where no study uses it."""
        users = self.users(key)
        return not users or any(not course.settled for course in users)

    def users(self, key: str) -> list[Course]:
        return [self._courses[study] for study in self.wanted.users(key)]

    def of_problem(self, problem: str) -> list[Course]:
        """The studies that a budget unit begins or, failing, ends."""
        return [course for (label, _), course in self._courses.items() if label == problem]
