"""Invariance and accuracy of each class against how many examples of it there were to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, geometric_mean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from search.class_table import OF, classes_of, drawn, mean_of, tailed
from search.figures.style import Style, frame, legend_below, log_across, plain, sheet, styles
from search.row import Row

LEAST = 1e-6  # a smaller divergence is drawn as this: the axis is logarithmic


def picture(rows: Sequence[Row], only: str) -> Figure:
    """Two panels of one problem: left the divergence, right the accuracy; against labels where sizes do not differ.

    Means over classes of one size are of the logarithm on the left, where the axis is logarithmic, as the slope is.

    Args:
        rows: all of the report, so that a method looks the same everywhere.
        only: the problem.
    """
    here, looks = drawn([row for row in rows if row.problem == only]), styles(rows)
    figure = sheet(8.8, 4.4)
    left, right = figure.subplots(1, 2)
    across = "training examples of the class" if tailed(here) else "class"
    if tailed(here) and any(_repeated(row) for row in here):
        across += "\n(small: a class; joined: means of classes of one size)"
    frame(left, "how far predictions move", across, "expected KL divergence (nats)")
    frame(right, "how many are recognised", across, "accuracy (%)")
    for row in here:
        _line(left, row, "ekld", 1.0, looks[row.method], tailed(here))
        _line(right, row, "accuracy", 100.0, looks[row.method], tailed(here))
    if here:
        left.set_yscale("log")
        legend_below(figure, *left.get_legend_handles_labels())
    for panel in (left, right):
        if tailed(here):
            log_across(panel)
        else:
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def describe(rows: Sequence[Row]) -> str:
    """The figure in words: each row's slope, or its mean where sizes do not differ."""
    here = drawn(rows)
    name, word = ("ekld/slope", "slope of log eKLD on log class size") if tailed(here) else ("ekld/mean", "mean eKLD")
    said = [f"{row.label} {found.mean:.2g}" for row in here if (found := mean_of(row, name)) is not None]
    return f"Expected KL divergence and accuracy of each class. The {word}: {', '.join(said) or 'nothing measured'}."


def _line(panel: Axes, row: Row, measure: str, scale: float, look: Style, sizes: bool) -> None:
    """A mark for each class; where sizes differ, filled ones at the mean over the classes of a size, which are joined.

    Classes of one size say nothing about a slope: their order is chance.
    """
    points = _points(row, measure, scale, sizes)
    if not points:
        return
    mean = geometric_mean if measure == "ekld" else fmean
    middles = [
        (place, mean([value for at, value in points if at == place])) for place in sorted({at for at, _ in points})
    ]
    shared = len(middles) < len(points)
    if shared:
        panel.plot(*zip(*points, strict=True), look.marker, color=look.colour, markersize=4, markerfacecolor="none")
    panel.plot(
        *zip(*middles, strict=True), marker=look.marker, color=look.colour,
        linestyle=look.dash if sizes else "none",  # nothing lies between two labels
        linewidth=1.0, markersize=6 if shared else 4, label=plain(row.label),
    )


def _repeated(row: Row) -> bool:
    """Whether two classes of the row have one size."""
    found = [at for at, _ in _points(row, "ekld", 1.0, sizes=True)]
    return len(set(found)) < len(found)


def _points(row: Row, measure: str, scale: float, sizes: bool) -> list[tuple[float, float]]:
    """(size or label, mean over seeds) of each class, by label."""
    points = []
    for label in classes_of(row):
        size, found = mean_of(row, f"size/{OF}{label}"), mean_of(row, f"{measure}/{OF}{label}")
        if size is not None and found is not None:
            value = scale * found.mean
            points.append((size.mean if sizes else float(label), max(value, LEAST) if measure == "ekld" else value))
    return points
