"""How all pictures look, and how they become bytes."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from PIL import Image

from search.row import Row

# Okabe and Ito's palette without its yellow, which vanishes on white: told apart by colour-blind readers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "h")
DASHES = ("-", "--", ":", "-.")
GRID, INK = "#dddddd", "#1a1a1a"
MANY_TICKS = 500.0  # dearest over cheapest from where on only powers of ten are labelled
DPI = 150
PNG_COLOURS, PAGE_COLOURS = 128, 48


class Style(NamedTuple):
    """How a method is drawn."""

    colour: str
    marker: str
    dash: str


def styles(rows: Sequence[Row]) -> dict[str, Style]:
    """method -> how it is drawn, the same in every picture of a report."""
    methods = list(dict.fromkeys(row.method for row in rows))
    return {
        method: Style(
            COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)], DASHES[place // len(COLOURS) % len(DASHES)]
        )
        for place, method in enumerate(methods)
    }


def sheet(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    figure = Figure(figsize=(width, height), layout="constrained", dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def frame(panel: Axes, title: str, across: str, up: str) -> None:
    """Title, axis labels and a grid that stays behind what is drawn."""
    panel.set_title(plain(title), fontsize=11, loc="left")
    panel.set_xlabel(across, fontsize=9)
    panel.set_ylabel(up, fontsize=9)
    panel.grid(color=GRID, linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=9)


def costs_across(panel: Axes) -> None:
    """The horizontal axis as cost, on a logarithmic scale with round numbers."""
    panel.set_xscale("log")
    low, high = panel.get_xlim()
    panel.xaxis.set_major_locator(LogLocator(subs=(1.0,) if high > MANY_TICKS * low else (1.0, 2.0, 5.0)))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())


def empty(panel: Axes, words: str = "no results yet") -> None:
    """Says that there is nothing to draw."""
    panel.text(0.5, 0.5, words, ha="center", transform=panel.transAxes)


def plain(text: str) -> str:
    """A user's label as it is: `$` would begin a formula, a leading `_` would hide it from the legend."""
    escaped = text.replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped


def png(figure: Figure) -> bytes:
    """The figure as PNG of at most PNG_COLOURS colours, for its size; the same figure, the same bytes."""
    drawn, packed = Image.open(io.BytesIO(_saved(figure, "png", {"Software": None}))), io.BytesIO()
    drawn.convert("RGB").quantize(PNG_COLOURS, dither=Image.Dither.NONE).save(packed, "png", optimize=True)
    return packed.getvalue()


def webp(content: bytes) -> bytes:
    """A figure's PNG as WebP, two fifths smaller: for what is inside a page.

    Its PAGE_COLOURS most frequent colours stay as they are; the others, of the edges of letters and lines, become the
    nearest of them.
    """
    drawn, packed = Image.open(io.BytesIO(content)), io.BytesIO()
    counts = np.array(drawn.histogram())
    palette = np.array(drawn.getpalette(), dtype=int).reshape(-1, 3)
    counts = counts[: len(palette)]
    kept = palette[np.argsort(-counts, kind="stable")[:PAGE_COLOURS]]
    nearest = np.square(palette[:, None] - kept).sum(-1).argmin(-1)
    drawn.putpalette(kept[nearest].astype(np.uint8).tobytes())
    drawn.convert("RGB").save(packed, "webp", lossless=True, quality=80, method=4)
    return packed.getvalue()


def svg(figure: Figure) -> bytes:
    """The figure as SVG with letters as outlines: no font is needed to show it."""
    with rc_context({"svg.hashsalt": "invsearch", "svg.fonttype": "path"}):
        return _saved(figure, "svg", {"Date": None, "Creator": None})


def _saved(figure: Figure, kind: str, metadata: dict[str, str | None]) -> bytes:
    target = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a script that the font lacks shows as boxes
        warnings.filterwarnings("ignore", message="constrained_layout not applied")  # a label as long as the page
        figure.savefig(target, format=kind, metadata=metadata)
    return target.getvalue()
