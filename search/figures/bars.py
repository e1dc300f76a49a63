"""Measured invariance where there are too few actions for a radar: one panel per action, one bar per row."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from search.figures.style import frame, plain, sheet, styles
from search.row import Row
from search.sentences import truth_text
from tracking.record import Stage

QUANTITIES = ("agreement", "change")  # of predicted classes, and of a regression's outputs


def measured(rows: Sequence[Row]) -> list[Row]:
    """Searches with a measured invariance."""
    return [row for row in rows if row.way is Stage.RERUN and any(one.measured for one in row.invariances)]


def picture(rows: Sequence[Row], only: str) -> Figure:
    """Of the rows of one problem.

    Args:
        rows: all of the report, so that a method looks the same everywhere.
        only: the problem.
    """
    here, looks = measured([row for row in rows if row.problem == only]), styles(rows)
    actions = {one.action: one for row in here for one in row.invariances if one.measured}
    figure = sheet(3.6 * len(actions), 1.4 + 0.26 * len(here))
    panels = figure.subplots(1, len(actions), squeeze=False, sharey=True).ravel()
    for panel, (action, named) in zip(panels, actions.items(), strict=True):
        by = [next((one.measured for one in row.invariances if one.action == action), {}) for row in here]
        quantity = next((name for name in QUANTITIES if any(name in values for values in by)), "kl")
        frame(panel, truth_text(named), quantity, "")
        known = [(place, values[quantity]) for place, values in enumerate(by) if quantity in values]
        panel.barh(
            [place for place, _ in known], [value for _, value in known],
            color=[looks[here[place].method].colour for place, _ in known], height=0.7,
        )
        panel.set_yticks(range(len(here)), [plain(row.label) for row in here])
        panel.grid(visible=False, axis="y")
    panels[0].invert_yaxis()
    return figure
