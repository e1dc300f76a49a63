"""Which rows of a problem nothing else beats in test score and cost together: the front that a comparison ends in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from search.front import hypervolume, pareto
from search.row import Row
from search.sentences import multiples_text
from search.tables import record
from search.words import listed

BEYOND = 0.1  # of the span, from the worst to the point of reference; as is the custom
Point = tuple[float, float, Row]  # mean test score, everything in plain trainings, whose


def points(rows: Sequence[Row]) -> list[Point]:
    """Of the rows of one problem that have a score and a cost, without bounds: what those know has cost others."""
    known = [(row.test, row.multiples(row.total.flops), row) for row in rows if not row.bound]
    return [(test.mean, cost, row) for test, cost, row in known if test is not None and cost is not None]


def front(rows: Sequence[Row]) -> list[Row]:
    """By means, the cheapest first; of equals the first in the table. Costs count to the three digits shown."""
    return pareto([(score, float(f"{cost:.3g}"), row) for score, cost, row in points(rows)])


def beaten(rows: Sequence[Row]) -> float | None:
    """Hypervolume of the front, in score times plain trainings, from a tenth of the rows' span beyond their worst.

    So the dearest row counts, too; it compares what is in one table only. None where all rows have one score or one
    cost: there is no span then.
    """
    found = points(rows)
    scores, costs = [score for score, _, _ in found], [cost for _, cost, _ in found]
    if len(set(scores)) < 2 or len(set(costs)) < 2:
        return None
    worst = (
        min(scores) - BEYOND * (max(scores) - min(scores)), max(costs) + BEYOND * (max(costs) - min(costs)),
    )
    return hypervolume(list(zip(scores, costs, strict=True)), worst)


def sentences(rows: Sequence[Row]) -> list[str]:
    """The front in words; nothing for fewer than two rows."""
    if len(points(rows)) < 2:
        return []
    on = front(rows)
    shown = listed([
        f"{row.label} ({_score(row)} at {multiples_text(row.multiples(row.total.flops))})" for row in on
    ])
    if len(on) == 1:
        return [f"{rows[0].problem}: no row has a higher mean test score or a lower cost (everything, in plain "
                f"trainings) than {shown}."]
    return [f"{rows[0].problem}: on the front of mean test score against everything's cost, in plain trainings: "
            f"{shown}."]


def records(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The table's lines, and whether each is on the front, which beats `front_hypervolume`."""
    on, area = front(rows), beaten(rows)
    return [
        {**record(row), "on_front": any(row is one for one in on), "front_hypervolume": area} for row in rows
    ]


def _score(row: Row) -> str:
    assert row.test is not None
    return f"{100 * row.test.mean:.1f} %" if row.accuracy else f"{row.test.mean:.3f}"
