"""The picture of a comparison: test score with its interval against cost in plain trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from search.figures.style import (
    FAINT,
    LEGEND,
    LEGEND_INCHES,
    Style,
    empty,
    frame,
    legend_columns,
    log_across,
    plain,
    sheet,
    styles,
)
from search.method_front import front
from search.row import Row
from search.statistics import Estimate
from tracking.record import Stage

DODGE_POINTS, MOST_POINTS = 3.0, 10.0  # between marks of one cost, and from the first of them to the last
ALIKE = 1.1          # costs that differ by less stand in each other's way
BEYOND = 4.0         # points of accuracy beyond 0 and 100 %, for marks that stand there
OWN_LEGEND = 10      # rows that a panel has a legend of its own for; more share one below all panels
CROWD = 20           # rows of a problem beyond which replays are left to the table


def picture(rows: Sequence[Row], only: str | None = None) -> Figure:
    """One panel per problem, side by side: test score with its interval against cost in plain trainings.

    Every row is drawn twice: a small mark at the cost of one final training, a large one with the interval
    at everything that led to it. Open marks are replays; where there are many rows they are left out. Large marks at
    about the same cost are shifted a few points sideways, so that their intervals can be told apart. The dotted line is
    the front, by means.

    Args:
        rows: all of the report, so that a method looks the same everywhere.
        only: draw the panel of this problem alone.
    """
    problems = list(dict.fromkeys(row.problem for row in rows if only in (None, row.problem)))
    shown = {problem: uncrowded([row for row in rows if row.problem == problem]) for problem in problems}
    across = max(1, min(2, len(problems)))
    down = max(1, -(-len(problems) // across))
    most = max(map(len, shown.values()), default=0)
    shared = most > OWN_LEGEND
    width = max(4.4 * across, 6.6 if shared else 0.0)
    columns = legend_columns(width, [row.label for here in shown.values() for row in here])
    legends = LEGEND_INCHES * (-(-most // columns) + 1 if shared else down * most / 2)
    figure = sheet(width, 3.4 * down + legends)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    looks = styles(rows)
    known: dict[str, Artist] = {}
    for panel, problem in zip(panels, problems, strict=False):
        left_out = len(shown[problem]) < sum(row.problem == problem for row in rows)
        marks = _panel(panel, shown[problem], looks, left_out)
        known = {**marks, **known}
        if marks and not shared:
            below = -0.17 - 0.08 * panel.get_xlabel().count("\n")
            panel.legend(marks.values(), marks, ncols=2, loc="upper center", bbox_to_anchor=(0.5, below), **LEGEND)
    for panel in panels[len(problems) :]:
        panel.set_axis_off()
    if not problems:
        panels[0].set_axis_off()
        empty(panels[0])
    if shared and known:
        figure.legend(known.values(), known, ncols=columns, loc="outside lower center", **LEGEND)
    return figure


def uncrowded(rows: Sequence[Row]) -> list[Row]:
    """Of one problem; where there are too many rows to tell apart without replays, but for those on the front."""
    if len(rows) <= CROWD:
        return list(rows)
    best = front(rows)
    return [row for row in rows if row.way is not Stage.REPLAY or any(row is one for one in best)]


def describe(rows: Sequence[Row]) -> str:
    """The figure in words, for readers who do not see it; what is not drawn is in the table beside it."""
    parts = []
    for row in uncrowded(rows):
        cost = row.multiples(row.total.flops)
        if row.test is not None:
            unit = f"{100 * row.test.mean:.1f} %" if row.accuracy else f"{row.test.mean:.3f}"
            parts.append(f"{row.label} {unit} at " + (f"{cost:.1f} plain trainings" if cost else "no known cost"))
    return "Test score against total cost: " + ("; ".join(parts) if parts else "no results yet") + "."


def _panel(panel: Axes, rows: Sequence[Row], looks: Mapping[str, Style], left_out: bool) -> dict[str, Artist]:
    """The rows of one problem; label -> its large mark.

    Args:
        left_out: whether there are others.
    """
    drawn = [(row, row.test, row.multiples(row.total.flops)) for row in rows]
    known = [(row, test, cost) for row, test, cost in drawn if test is not None and cost]
    free = [plain(row.label) for row, test, cost in drawn if test is not None and not cost]
    score = "test accuracy (%)" if any(row.accuracy for row in rows) else "test score"
    costs = "cost in plain trainings\n(small: one training, large: everything)"
    if any(_cut(test, row.accuracy) for row, test, _ in known):
        costs += "\narrowheads: the interval goes on beyond the scale"
    if left_out:
        costs += "\nnot drawn: replays, but for those on the front"
    if free:  # a logarithmic axis has no place for them
        costs += f"\nnot drawn, no cost known: {', '.join(free)}"
    frame(panel, rows[0].problem, costs, f"{score}, 95 % interval")
    if not known:
        empty(panel)
        return {}
    shifts = dodged([cost for _, _, cost in known])
    marks = {
        plain(row.label): _mark(panel, row, test, cost, looks[row.method], shift)
        for (row, test, cost), shift in zip(known, shifts, strict=True)
    }
    best = front(rows)
    on = sorted((cost, test.mean) for row, test, cost in known if any(row is one for one in best))
    scale = 100.0 if any(row.accuracy for row in rows) else 1.0
    panel.plot([cost for cost, _ in on], [scale * mean for _, mean in on], drawstyle="steps-post", color="grey",
               linewidth=0.8, linestyle=":", zorder=0)
    log_across(panel)
    panel.margins(x=0.12)
    if scale > 1:  # an interval may be wider than the scale: the axis is not
        low, high = panel.get_ylim()
        panel.set_ylim(max(low, -BEYOND), min(high, 100 + BEYOND))
    return marks


def _ends(test: Estimate, accuracy: bool) -> tuple[float, float]:
    """Of the interval as it is drawn: of accuracies within what there can be."""
    low = test.mean if test.low is None else test.low
    high = test.mean if test.high is None else test.high
    return (max(low, 0.0), min(high, 1.0)) if accuracy else (low, high)


def _cut(test: Estimate, accuracy: bool) -> list[tuple[float, str]]:
    """Ends that the interval goes on beyond, with the arrowhead that says so."""
    low, high = _ends(test, accuracy)
    return [
        (end, head) for end, whole, head in ((low, test.low, "v"), (high, test.high, "^"))
        if whole is not None and whole != end
    ]


def dodged(costs: Sequence[float]) -> list[float]:
    """Points to the right for each mark: among costs that are about the same evenly around the middle, else nothing.

    The cheaper of two never comes to stand on the right.
    """
    order = sorted(range(len(costs)), key=lambda place: costs[place])
    groups: list[list[int]] = []
    for place in order:
        if groups and costs[place] < ALIKE * costs[groups[-1][0]]:
            groups[-1].append(place)
        else:
            groups.append([place])
    found = [0.0] * len(costs)
    for group in groups:
        step = min(DODGE_POINTS, MOST_POINTS / max(1, len(group) - 1))
        for number, place in enumerate(group):  # the cheaper one on the left
            found[place] = (number - (len(group) - 1) / 2) * step
    return found


def _mark(panel: Axes, row: Row, test: Estimate, cost: float, style: Style, shift: float) -> Artist:
    """Both marks of a row, the large one `shift` points to the right; returns that one, for the legend."""
    scale = 100.0 if row.accuracy else 1.0
    face = "white" if row.way is Stage.REPLAY else style.colour
    look: dict[str, Any] = {"color": style.colour, "markerfacecolor": face}
    y = scale * test.mean
    bars = None
    if test.low is not None and test.high is not None:
        low, high = _ends(test, row.accuracy)
        bars = [[scale * (test.mean - low)], [scale * (high - test.mean)]]
    large = panel.errorbar(
        [cost], [y], yerr=bars, fmt=style.marker, markersize=8, capsize=3, linewidth=1.2, **look
    )
    _shift(panel, large.get_children(), shift)
    for end, head in _cut(test, row.accuracy):
        _shift(panel, panel.plot([cost], [scale * end], head, markersize=5, **look), shift)
    one = None if row.training is None else row.multiples(row.training.flops)
    if one is not None:
        panel.plot([one, cost], [y, y], color=style.colour, linewidth=0.7, alpha=FAINT, zorder=1)
        panel.plot([one], [y], style.marker, markersize=4, **look)
    return large.lines[0]


def _shift(panel: Axes, artists: Sequence[Artist], points: float) -> None:
    """To the right on the page; the limits of the axes are those of the data before."""
    figure = panel.get_figure(root=True)
    assert figure is not None
    moved = panel.transData + ScaledTranslation(points / 72, 0, figure.dpi_scale_trans)
    for artist in artists:
        artist.set_transform(moved)
