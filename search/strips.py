"""Example images under what was learned, as the methods' own exports show them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from search.plan import Plan
from tracking.errors import StorageError
from tracking.storage import Place

NAMES = {  # of policies, and of augmentation layers -> what their columns are
    "samples.png": "untouched on the left, then as drawn",
    "contact_sheet.png": (
        "a row for each operation, from one end of its range to the other; of images the third is untouched, and "
        "the last all operations at random"
    ),
}


@dataclass(frozen=True, slots=True)
class Strip:
    """A picture of what one row learned on one problem.

    Args:
        columns: what is where in it, for who looks at it.
    """

    problem: str
    method: str
    png: bytes
    columns: str = ""

    @property
    def title(self) -> str:
        return f"{self.problem}, {self.method}" + (f": {self.columns}" if self.columns else "")


def strips(exports: Place, plan: Plan) -> list[Strip]:
    """Those that there are, in the order of the comparison; none of a place that cannot be read."""
    return list(_strips(exports, plan))


def _strips(exports: Place, plan: Plan) -> Iterator[Strip]:
    for problem in plan.problems:
        for method in plan.methods:
            place = exports / problem / method
            for name, columns in NAMES.items():
                try:
                    if place.exists(name):
                        yield Strip(problem, method, place.read(name), columns)
                except (OSError, StorageError):
                    continue
