"""Expected best of n independent trials, against n."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from search.anytime import expected_best
from search.figures.style import frame, legend_below, log_across, plain, sheet, styles
from search.row import Row
from search.sentences import select_text
from tracking.record import Stage

POINTS = 60  # of a curve at most: each costs a pass through all trials


def picture(rows: Sequence[Row], scores: Mapping[str, Sequence[float]], only: str) -> Figure:
    """Of one problem.

    Args:
        rows: all of the report, so that a method looks the same everywhere.
        scores: method -> select scores of its whole trials.
        only: the problem.
    """
    figure, looks = sheet(5.6, 4.4), styles(rows)
    panel = figure.subplots()
    here = [row for row in rows if row.problem == only and row.way is Stage.RERUN and scores.get(row.method)]
    score = "accuracy (%)" if any(row.accuracy for row in here) else "score"
    frame(panel, only, "trials", f"expected best select {score}")
    for row in here:
        values, look = scores[row.method], looks[row.method]
        counts = counted(len(values))
        scale = 100.0 if row.accuracy else 1.0
        panel.plot(
            counts, [scale * expected_best(values, count) for count in counts], color=look.colour, linestyle=look.dash,
            marker=look.marker, markevery=[0, -1], label=plain(row.label),
        )
    log_across(panel)
    legend_below(figure, *panel.get_legend_handles_labels())
    return figure


def counted(total: int) -> list[int]:
    """Where a curve is drawn: every count up to `POINTS`, else as many or fewer, even on the logarithmic axis."""
    if total <= POINTS:
        return list(range(1, total + 1))
    return sorted({round(total ** (step / (POINTS - 1))) for step in range(POINTS)})


def describe(rows: Sequence[Row], scores: Mapping[str, Sequence[float]]) -> str:
    """The figure in words: of one trial, and of all."""
    said = [
        f"{row.label} {select_text(expected_best(values, 1), row.accuracy)} and "
        f"{select_text(max(values), row.accuracy)}" for row in rows
        if row.way is Stage.RERUN and (values := scores.get(row.method))
    ]
    return "Expected best select score of one trial, and the best of all: " + "; ".join(said) + "."
