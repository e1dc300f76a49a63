"""Anytime curves: the best select score by each point of the cost, of the tuning and of the confirm trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from search.anytime import Curve, mean_curve
from search.curves import Anytime, Curves, Study
from search.figures.style import THIN, Style, empty, frame, legend_below, log_across, plain, sheet, styles
from search.row import Row
from tracking.record import Stage

MOST_BY_SEED = 6  # rows, from where on a line for each of their seeds hides the others


def picture(rows: Sequence[Row], found: Mapping[Study, Curves], only: str) -> Figure:
    """Two panels of one problem: left the tuning, right every seed's confirm training, or of many rows their means.

    Args:
        rows: all of the report, so that a method looks the same everywhere.
        only: the problem.
    """
    here = [row for row in rows if row.problem == only and row.way is Stage.RERUN]
    looks = styles(rows)
    figure = sheet(8.8, 4.4)
    left, right = figure.subplots(1, 2)  # trainings rise from chance, a tuning differs in its last points: an axis each
    score = "accuracy (%)" if any(row.accuracy for row in here) else "score"
    frame(left, "tuning: best trial so far", "cost in plain trainings", f"select {score}")
    drawn = [row for row in here if row.unit_flops and (row.problem, row.method) in found]
    many = len(drawn) > MOST_BY_SEED
    said = "mean over seeds" if many else "every seed"
    frame(right, f"confirm trainings: best so far, {said}", "cost in plain trainings", f"select {score}")
    for row in drawn:
        one, look = found[row.problem, row.method], looks[row.method]
        _steps(left, row, one.tuning, one.tuned, look, plain(row.label), 1.6)
        if many:
            _steps(right, row, mean_curve(list(one.trainings.values())), max(one.ends.values(), default=0.0), look,
                   None, 1.3)
            continue
        for seed, line in one.trainings.items():
            _steps(right, row, line, one.ends[seed], look, None, 0.9)
    for panel in (left, right):
        if panel.lines:
            log_across(panel)
        else:
            empty(panel)
    legend_below(figure, *left.get_legend_handles_labels())
    return figure


def describe(rows: Sequence[Row], figures: Mapping[str, Anytime]) -> str:
    """The figure in words: what each study's curve averages to."""
    parts = [
        f"{row.label} {100 * area:.1f} %" if row.accuracy else f"{row.label} {area:.3f}"
        for row in rows if row.way is Stage.RERUN
        and row.method in figures and (area := figures[row.method].area) is not None
    ]
    return "Best select score so far, averaged over log cost from one plain training to the budget: " + (
        "; ".join(parts) if parts else "nothing to average"
    ) + "."


def _steps(
    panel: Axes, row: Row, line: Curve, end: float, look: Style, label: str | None, width: float
) -> None:
    if not line or not row.unit_flops:
        return
    scale = 100.0 if row.accuracy else 1.0
    costs = [cost / row.unit_flops for cost, _ in line] + [max(end, line[-1][0]) / row.unit_flops]
    scores = [scale * score for _, score in line] + [scale * line[-1][1]]
    # Thin lines of one method lie over each other: they are lighter, so that their middle is what is seen.
    panel.plot(
        costs, scores, drawstyle="steps-post", color=look.colour, linestyle=look.dash, linewidth=width,
        marker=look.marker, markersize=2.5 * width, markevery=[0], alpha=1.0 if label else THIN, label=label,
    )
