"""The picture: accuracy against cost. Object-oriented matplotlib only: no global figure, no display."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation

from search.row import Row
from search.statistics import Estimate
from tracking.record import Stage

# Okabe and Ito's palette without its yellow, which vanishes on white: told apart by colour-blind readers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "h")
DODGE_POINTS = 3.0
MANY_TICKS = 500.0  # dearest over cheapest from where on only powers of ten are labelled
DPI = 150


class Style(NamedTuple):
    """How a method is drawn."""

    colour: str
    marker: str


def picture(rows: Sequence[Row], only: str | None = None) -> Figure:
    """One panel per problem, side by side: test score with its interval against cost in plain trainings.

    Every row is drawn twice: a small mark at the cost of one final training, a large one with the interval
    at everything that led to it. Open marks are replays. Large marks are shifted a few points sideways, so
    that intervals at the same cost can be told apart.

    Args:
        rows: all of the report, so that a method looks the same everywhere.
        only: draw the panel of this problem alone.
    """
    problems = list(dict.fromkeys(row.problem for row in rows if only in (None, row.problem)))
    across = max(1, min(2, len(problems)))
    down = max(1, -(-len(problems) // across))
    figure = Figure(figsize=(4.4 * across, 4.0 * down), layout="constrained", dpi=DPI)
    FigureCanvasAgg(figure)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    styles = _styles(rows)
    for panel, problem in zip(panels, problems, strict=False):
        _panel(panel, [row for row in rows if row.problem == problem], styles)
    for panel in panels[len(problems) :]:
        panel.set_axis_off()
    if not problems:
        panels[0].set_axis_off()
        panels[0].text(0.5, 0.5, "no results yet", ha="center")
    return figure


def png(figure: Figure) -> bytes:
    """The figure as PNG; the same figure, the same bytes."""
    return _saved(figure, "png", {"Software": None})


def svg(figure: Figure) -> bytes:
    """The figure as SVG with letters as outlines: no font is needed to show it."""
    with rc_context({"svg.hashsalt": "invsearch", "svg.fonttype": "path"}):
        return _saved(figure, "svg", {"Date": None, "Creator": None})


def describe(rows: Sequence[Row]) -> str:
    """The figure in words, for readers who do not see it."""
    parts = []
    for row in rows:
        cost = row.multiples(row.total.flops)
        if row.test is not None and cost is not None:
            unit = f"{100 * row.test.mean:.1f} %" if row.accuracy else f"{row.test.mean:.3f}"
            parts.append(f"{row.label} {unit} at {cost:.1f} plain trainings")
    return "Test score against total cost: " + ("; ".join(parts) if parts else "no results yet") + "."


def _panel(panel: Axes, rows: Sequence[Row], styles: Mapping[str, Style]) -> None:
    drawn = [(row, row.test, row.multiples(row.total.flops)) for row in rows]
    known = [(row, test, cost) for row, test, cost in drawn if test is not None and cost]
    _frame(panel, _plain(rows[0].problem), any(row.accuracy for row in rows))
    if not known:
        panel.text(0.5, 0.5, "no results yet", ha="center", transform=panel.transAxes)
        return
    handles = [
        _mark(panel, row, test, cost, styles[row.method], (place - (len(known) - 1) / 2) * DODGE_POINTS)
        for place, (row, test, cost) in enumerate(known)
    ]
    panel.set_xscale("log")
    low, high = panel.get_xlim()
    panel.xaxis.set_major_locator(LogLocator(subs=(1.0,) if high > MANY_TICKS * low else (1.0, 2.0, 5.0)))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.margins(x=0.12)
    panel.legend(
        handles, [_plain(row.label) for row, _, _ in known], fontsize=8, frameon=False, ncols=2,
        loc="upper center", bbox_to_anchor=(0.5, -0.25),
    )


def _frame(panel: Axes, title: str, accuracy: bool) -> None:
    panel.set_title(title, fontsize=11, loc="left")
    panel.set_xlabel("cost in plain trainings\n(small: one training, large: everything)", fontsize=9)
    score = "test accuracy (%)" if accuracy else "test score"
    panel.set_ylabel(f"{score}, 95 % interval", fontsize=9)
    panel.grid(color="#dddddd", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=9)


def _mark(panel: Axes, row: Row, test: Estimate, cost: float, style: Style, shift: float) -> Artist:
    """Both marks of a row, the large one `shift` points to the right; returns that one, for the legend."""
    scale = 100.0 if row.accuracy else 1.0
    face = "white" if row.way is Stage.REPLAY else style.colour
    look: dict[str, Any] = {"color": style.colour, "markerfacecolor": face}
    y = scale * test.mean
    bars = None
    if test.low is not None and test.high is not None:
        bars = [[scale * (test.mean - test.low)], [scale * (test.high - test.mean)]]
    large = panel.errorbar(
        [cost], [y], yerr=bars, fmt=style.marker, markersize=8, capsize=3, linewidth=1.2, **look
    )
    _shift(panel, large.get_children(), shift)
    one = None if row.training is None else row.multiples(row.training.flops)
    if one is not None:
        panel.plot([one, cost], [y, y], color=style.colour, linewidth=0.7, alpha=0.35, zorder=1)
        panel.plot([one], [y], style.marker, markersize=4, **look)
    return large.lines[0]


def _shift(panel: Axes, artists: Sequence[Artist], points: float) -> None:
    """To the right on the page; the limits of the axes are those of the data before."""
    figure = panel.get_figure(root=True)
    assert figure is not None
    moved = panel.transData + ScaledTranslation(points / 72, 0, figure.dpi_scale_trans)
    for artist in artists:
        artist.set_transform(moved)


def _styles(rows: Sequence[Row]) -> dict[str, Style]:
    """method -> (colour, marker), the same in every panel."""
    methods = list(dict.fromkeys(row.method for row in rows))
    return {
        method: Style(COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)])
        for place, method in enumerate(methods)
    }


def _plain(text: str) -> str:
    """A user's label as it is: `$` would begin a formula, a leading `_` would hide it from the legend."""
    escaped = text.replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped


def _saved(figure: Figure, kind: str, metadata: dict[str, str | None]) -> bytes:
    target = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a script that the font lacks shows as boxes
        figure.savefig(target, format=kind, metadata=metadata)
    return target.getvalue()
