"""Example images under what was learned, as the methods' own exports show them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from search.plan import Plan
from tracking.errors import StorageError
from tracking.storage import Place

NAMES = ("samples.png", "contact_sheet.png")  # of policies, and of augmentation layers


@dataclass(frozen=True, slots=True)
class Strip:
    """A picture of what one row learned on one problem."""

    problem: str
    method: str
    png: bytes

    @property
    def title(self) -> str:
        return f"{self.problem}, {self.method}"


def strips(exports: Place, plan: Plan) -> list[Strip]:
    """Those that there are, in the order of the comparison; none of a place that cannot be read."""
    return list(_strips(exports, plan))


def _strips(exports: Place, plan: Plan) -> Iterator[Strip]:
    for problem in plan.problems:
        for method in plan.methods:
            place = exports / problem / method
            for name in NAMES:
                try:
                    if place.exists(name):
                        yield Strip(problem, method, place.read(name))
                except (OSError, StorageError):
                    continue
