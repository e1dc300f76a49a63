"""How all pictures look, and how they become bytes."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from PIL import Image

from search.row import Row

# Okabe and Ito's palette without its yellow, which vanishes on white: told apart by colour-blind readers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "h")
DASHES = ("-", "--", ":", "-.")
GRID, INK, CONTROL = "#dddddd", "#1a1a1a", "#888888"
HELPS, HARMS = "#00563f", "#8a3b00"  # of words
THIN, FAINT, AREA = 0.6, 0.35, 0.2  # opacities: of lines over each other, of what is behind, of what is inside a line
NAMED = (GRID, INK, CONTROL, HELPS, HARMS, "#ffffff")
MANY_TICKS = 500.0  # dearest over cheapest from where on only powers of ten are labelled
SHORT_AXIS, FEW_TICKS = 5.0, 4  # below that, 1, 2 and 5 may be one label or none: so many even steps instead
LEGEND_INCHES, LETTER_INCHES, BESIDE_INCHES = 0.2, 0.075, 0.6  # a legend's line, a letter of it, mark and margins
LEGEND: dict[str, Any] = {"fontsize": 8, "frameon": False}
DPI = 150
PNG_COLOURS, PAGE_COLOURS = 128, 48
ROUNDED = 2  # of 255: how far a blend may be from what was computed
_CODES, _CODE = 2**24, np.array([2**16, 2**8, 1])  # a colour as one number


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


def log_across(panel: Axes) -> None:
    """The horizontal axis, of costs or counts, on a logarithmic scale with round numbers, two of them at least."""
    panel.set_xscale("log")
    low, high = panel.get_xlim()
    panel.xaxis.set_major_locator(
        MaxNLocator(FEW_TICKS) if high < SHORT_AXIS * low
        else LogLocator(subs=(1.0,) if high > MANY_TICKS * low else (1.0, 2.0, 5.0))
    )
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())


def legend_below(figure: Figure, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    """One legend of the whole figure, in as many columns as the longest label leaves room for.

    The sheet has room for one line of it, and grows by the others.
    """
    if not labels:
        return
    columns = legend_columns(figure.get_figwidth(), labels)
    figure.set_figheight(figure.get_figheight() + LEGEND_INCHES * (-(-len(labels) // columns) - 1))
    figure.legend(handles, labels, ncols=columns, loc="outside lower center", **LEGEND)


def legend_columns(width: float, labels: Sequence[str]) -> int:
    """How many entries fit beside each other on so many inches."""
    longest = max(map(len, labels), default=0)
    return max(1, int(width / (BESIDE_INCHES + LETTER_INCHES * longest)))


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
    fewer(drawn, PNG_COLOURS).save(packed, "png", optimize=True)
    return packed.getvalue()


def webp(content: bytes) -> bytes:
    """A figure's PNG as WebP of at most PAGE_COLOURS colours, a quarter smaller or more: for what is inside a page."""
    packed = io.BytesIO()
    drawn = fewer(Image.open(io.BytesIO(content)), PAGE_COLOURS).convert("RGB")
    drawn.save(packed, "webp", lossless=True, quality=80, method=4)
    return packed.getvalue()


def fewer(drawn: Image.Image, most: int) -> Image.Image:
    """With a palette of at most so many colours: those that are drawn with, then the most frequent others.

    What is left, of the edges of letters and lines, becomes the nearest of them. A median cut would take what is few
    pixels, and thin lines of many methods are.
    """
    pixels = np.asarray(drawn.convert("RGB")).astype(np.int64) @ _CODE
    counted = drawn.convert("RGB").getcolors(_CODES) or []
    there = [colour for _, colour in sorted(counted, key=lambda one: (-one[0], one[1]))]
    colours = np.array(there, dtype=np.int64)
    near = np.abs(colours[:, None] - _meant()).max(-1) <= ROUNDED
    first = near.argmax(0)[near.any(0)]  # the most frequent of those that differ by rounding
    kept = list(dict.fromkeys([*(there[place] for place in first), *there]))[:most]
    palette = np.array(kept, dtype=np.int64)
    place = np.zeros(_CODES, dtype=np.uint8)
    place[colours @ _CODE] = np.square(colours[:, None] - palette).sum(-1).argmin(-1)
    found = Image.fromarray(place[pixels], "P")
    found.putpalette(palette.astype(np.uint8).tobytes())
    return found


def _meant() -> np.ndarray:
    """(colours, 3): what is drawn with, in full and through white at each opacity in use."""
    full = np.array([to_rgb(colour) for colour in (*COLOURS, *NAMED)])
    shades = np.concatenate([1 - opacity * (1 - full[: len(COLOURS)]) for opacity in (THIN, FAINT, AREA)])
    found: np.ndarray = np.rint(255 * np.concatenate([full, shades]))
    return found


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
