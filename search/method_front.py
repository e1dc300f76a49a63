"""Which rows of a problem nothing else beats in test score and cost together: the front that a comparison ends in."""

from __future__ import annotations

from collections.abc import Sequence

from search.front import hypervolume, pareto
from search.row import Row
from search.sentences import multiples_text
from search.words import listed

Point = tuple[float, float, Row]  # mean test score, everything in plain trainings, whose


def points(rows: Sequence[Row]) -> list[Point]:
    """Of the rows of one problem that have a score and a cost."""
    known = [(row.test, row.multiples(row.total.flops), row) for row in rows]
    return [(test.mean, cost, row) for test, cost, row in known if test is not None and cost is not None]


def front(rows: Sequence[Row]) -> list[Row]:
    """By means, the cheapest first; of equals the first in the table."""
    return pareto(points(rows))


def beaten(rows: Sequence[Row]) -> float | None:
    """Hypervolume of the front, in score times plain trainings, from the lowest score and the highest cost among rows.

    None where all rows have one score or one cost: there is no area then.
    """
    found = points(rows)
    if not found:
        return None
    worst = min(score for score, _, _ in found), max(cost for _, cost, _ in found)
    return hypervolume([(score, cost) for score, cost, _ in found], worst) or None


def sentences(rows: Sequence[Row]) -> list[str]:
    """The front in words; nothing for fewer than two rows."""
    if len(points(rows)) < 2:
        return []
    on = front(rows)
    shown = listed([
        f"{row.label} ({_score(row)} at {multiples_text(row.multiples(row.total.flops))})" for row in on
    ])
    area = beaten(rows)
    said = "" if area is None else f"; its hypervolume is {area:.3g} (score times plain trainings)"
    return [f"{rows[0].problem}: on the front of mean test score against everything's cost, in plain trainings: {shown}"
            f"{said}."]


def _score(row: Row) -> str:
    assert row.test is not None
    return f"{100 * row.test.mean:.1f} %" if row.accuracy else f"{row.test.mean:.3f}"
