"""What n tasks cost in all, of methods with a pre-training and of their rivals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from search.break_even import BreakEven, task_flops
from search.figures.style import frame, legend_below, log_across, plain, sheet, styles
from search.row import Row
from tracking.record import Stage

MOST_TASKS, POINTS = 1000, 60
ALIKE = 0.03  # lines whose costs differ by less than this share everywhere lie on each other
DASH, APART = 4.0, 4  # of such a line: a dash in widths, and points of the curve from one line's mark to the next's


def picture(rows: Sequence[Row], only: str) -> Figure:
    """Cumulative cost in plain trainings against the number of tasks, both logarithmic; pre-training counts once.

    Args:
        rows: all of the report, so that a method looks the same everywhere.
        only: the problem.
    """
    figure, looks = sheet(5.6, 4.4), styles(rows)
    panel = figure.subplots()
    frame(panel, only, "tasks", "everything, in plain trainings")
    tasks = np.geomspace(1, MOST_TASKS, POINTS)
    drawn: list[np.ndarray] = []
    for row in rows:
        if row.problem != only or row.way is not Stage.RERUN or row.training is None or not row.unit_flops:
            continue
        look = looks[row.method]
        costs = (row.pretraining.flops + tasks * task_flops(row)) / row.unit_flops
        under = sum(bool((np.abs(np.log(costs / one)) < ALIKE).all()) for one in drawn)
        drawn.append(costs)
        panel.plot(
            tasks, costs, color=look.colour, marker=look.marker, markevery=[under * APART],
            linestyle=(0, (DASH, DASH * under)) if under else look.dash,  # what is below is seen between the dashes
            label=plain(row.label), linewidth=2.0 if row.pretraining.flops else 1.0,
        )
    panel.set_yscale("log")
    log_across(panel)
    legend_below(figure, *panel.get_legend_handles_labels())
    return figure


def describe(found: Sequence[BreakEven]) -> str:
    """The figure in words."""
    said = [
        f"{one.method} against {one.rival}: " + ("never" if one.tasks is None else f"from {one.tasks} tasks on")
        for one in found
    ]
    return "Cost of n tasks, pre-training included. No dearer: " + "; ".join(said) + "."
