"""Invariance and accuracy of each class against how many examples of it there were to learn from."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from search.class_table import OF, classes_of, drawn, mean_of, tailed
from search.figures.style import Style, frame, plain, sheet, styles
from search.row import Row

LEAST = 1e-6  # a smaller divergence is drawn as this: the axis is logarithmic


def picture(rows: Sequence[Row], only: str) -> Figure:
    """Two panels of one problem: left the divergence, right the accuracy; against labels where sizes do not differ.

    Args:
        rows: all of the report, so that a method looks the same everywhere.
        only: the problem.
    """
    here, looks = drawn([row for row in rows if row.problem == only]), styles(rows)
    figure = sheet(8.8, 4.4)
    left, right = figure.subplots(1, 2)
    across = "training examples of the class" if tailed(here) else "class"
    frame(left, "how far predictions move", across, "expected KL divergence (nats)")
    frame(right, "how many are recognised", across, "accuracy (%)")
    for row in here:
        _line(left, row, "ekld", 1.0, looks[row.method], tailed(here))
        _line(right, row, "accuracy", 100.0, looks[row.method], tailed(here))
    if here:
        left.set_yscale("log")
        figure.legend(*left.get_legend_handles_labels(), fontsize=8, frameon=False, ncols=4, loc="outside lower center")
    if tailed(here):
        left.set_xscale("log")
        right.set_xscale("log")
    else:
        for panel in (left, right):
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def describe(rows: Sequence[Row]) -> str:
    """The figure in words: each row's slope, or its mean where sizes do not differ."""
    here = drawn(rows)
    name, word = ("ekld/slope", "slope of log eKLD on log class size") if tailed(here) else ("ekld/mean", "mean eKLD")
    said = [f"{row.label} {found.mean:.2g}" for row in here if (found := mean_of(row, name)) is not None]
    return f"Expected KL divergence and accuracy of each class. The {word}: {', '.join(said) or 'nothing measured'}."


def _line(panel: Axes, row: Row, measure: str, scale: float, look: Style, sizes: bool) -> None:
    points = []
    for label in classes_of(row):
        size, found = mean_of(row, f"size/{OF}{label}"), mean_of(row, f"{measure}/{OF}{label}")
        if size is not None and found is not None:
            value = scale * found.mean
            points.append((size.mean if sizes else float(label), max(value, LEAST) if measure == "ekld" else value))
    if points:
        panel.plot(
            *zip(*sorted(points), strict=True), marker=look.marker, color=look.colour,
            linestyle=look.dash if sizes else "none",  # nothing lies between two labels
            linewidth=1.0, markersize=4, label=plain(row.label),
        )
