"""The colours that figures draw with are told apart by readers without the green or the red cone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer
from numpy.typing import NDArray
from PIL import Image

from search.analysis import rows
from search.figures import radar
from search.figures.radar import INKS
from search.figures.style import AREA, COLOURS, FAINT, PAGE_COLOURS, THIN, png, sheet, webp
from search.row import Effect, Invariance
from tests.search.hand_worked import figure
from tests.support.journals import journal
from trainables.problems.bank import standard_bank

# Okabe and Ito, "Color Universal Design", 2008, as printed there: red, green, blue of 255.
PUBLISHED = {
    "black": (0, 0, 0), "orange": (230, 159, 0), "sky blue": (86, 180, 233), "bluish green": (0, 158, 115),
    "yellow": (240, 228, 66), "blue": (0, 114, 178), "vermillion": (213, 94, 0), "reddish purple": (204, 121, 167),
}
# Machado, Oliveira and Fernandes 2009, severity 1, of linear red, green and blue.
SIMULATED = {
    "deuteranopia": np.array([
        [0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881],
    ]),
    "protanopia": np.array([
        [0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998],
    ]),
    "all cones": np.eye(3),
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])  # of sRGB, D65
APART = 15.0  # Delta E (CIE 1976): six times what is just noticed side by side, 2.3; the published seven keep 17.9
REDS_AND_GREENS = {
    "pure": ("#cc0000", "#00aa00", "#ff6666", "#66cc66", "#880000", "#006600"),
    "muted": ("#d62728", "#2ca02c", "#8c564b", "#bcbd22"),
}


def seen(colour: str, sight: str) -> np.ndarray:
    """L*, a* and b* of a colour as it looks to such a reader."""
    shares = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    relative = XYZ @ np.clip(SIMULATED[sight] @ linear, 0, 1) / XYZ.sum(axis=1)
    x, y, z = np.where(relative > (6 / 29) ** 3, np.cbrt(relative), relative * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def check_told_apart(colours: Sequence[str], sight: str) -> None:
    near = {
        (one, other): away for one, other in combinations(colours, 2)
        if (away := float(np.linalg.norm(seen(one, sight) - seen(other, sight)))) < APART
    }
    assert not near, f"alike with {sight}: {near}"


@pytest.mark.parametrize("sight", SIMULATED)
@pytest.mark.parametrize("colours", [COLOURS, tuple(INKS.values())], ids=["palette", "names on radars"])
def test_any_two_colours_are_told_apart(colours: Sequence[str], sight: str) -> None:
    check_told_apart(colours, sight)


@pytest.mark.parametrize("colours", REDS_AND_GREENS.values(), ids=REDS_AND_GREENS)
def test_the_check_itself_rejects_reds_and_greens(colours: Sequence[str]) -> None:
    """They pass with all cones: it is the missing one that makes them alike."""
    check_told_apart(colours, "all cones")
    with pytest.raises(AssertionError, match="alike with deuteranopia"):
        check_told_apart(colours, "deuteranopia")


def test_white_is_seen_as_white_and_black_as_black_by_everybody() -> None:
    """The control of the simulation: greys do not change."""
    for sight in SIMULATED:
        assert seen("#ffffff", sight) == pytest.approx([100, 0, 0], abs=0.1)
        assert seen("#000000", sight) == pytest.approx([0, 0, 0], abs=0.1)


def test_the_palette_is_the_published_one_without_its_yellow() -> None:
    assert set(COLOURS) == {f"#{r:02X}{g:02X}{b:02X}" for name, (r, g, b) in PUBLISHED.items() if name != "yellow"}
    assert len(COLOURS) == len(PUBLISHED) - 1, "each once"


@pytest.mark.parametrize("kind", ["accuracy-cost", "anytime", "ledger", "classes", "break-even", "front"])
def test_what_is_drawn_has_colours_of_the_palette_alone(kind: str) -> None:
    """Or grey, as what is no method; each method and each part of the ledger has a colour of its own."""
    published = {f"#{r:02x}{g:02x}{b:02x}" for r, g, b in PUBLISHED.values()}
    drawn: dict[str, set[str]] = {}
    for panel in figure(kind).axes:
        for line in panel.lines:
            drawn.setdefault(str(line.get_label()), set()).add(to_hex(line.get_color()))
        for one in panel.containers:
            if isinstance(one, BarContainer):
                drawn[str(one.get_label())] = {to_hex(bar.get_facecolor()) for bar in one.patches}
    coloured = {colour for colour in set().union(*drawn.values()) if len({colour[1:3], colour[3:5], colour[5:7]}) > 1}
    assert coloured and coloured <= published
    named = [colours for label, colours in drawn.items() if not label.startswith("_")]
    assert all(len(colours) == 1 for colours in named)
    assert len(set().union(*named)) == len(named)


def pixels(content: bytes) -> NDArray[np.int64]:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(np.int64)


@pytest.mark.parametrize("kind", ["accuracy-cost", "invariance", "ledger", "learned"])
def test_a_figure_in_the_page_is_the_figure_in_the_folder(kind: str) -> None:
    """Of the size that it was drawn in, and smaller in bytes; edges alone have another colour."""
    content = png(figure(kind))
    packed = webp(content)
    before, after = pixels(content), pixels(packed)
    assert len(packed) < 0.85 * len(content) and before.shape == after.shape
    moved = np.abs(before - after).max(-1)
    assert len(np.unique(after.reshape(-1, 3), axis=0)) <= PAGE_COLOURS < len(np.unique(before.reshape(-1, 3), axis=0))
    assert (moved == 0).mean() > 0.97 and moved.max() > 0, "edges do change: else there was nothing to check"


@pytest.mark.parametrize("methods", [6, 8, 14])
def test_many_methods_keep_their_colours_in_the_page(methods: int) -> None:
    """Thin lines are few pixels among many greys: by frequency alone some methods came out in another one's colour."""
    measured = tuple(
        Invariance(action.name, "deg", Effect.UNKNOWN, None, {"agreement": 0.3 + 0.05 * k})
        for k, action in enumerate(standard_bank((1, 8, 8), {}))
    )
    scores = {"one": {f"m{k}": (0.8, 0.82) for k in range(methods)}}
    made = [replace(row, invariances=measured) for row in rows(journal(scores, replays=(), truths={}))]
    content = png(radar.picture(made, "one"))
    before, after = pixels(content), pixels(webp(content))
    for colour in COLOURS[:methods]:
        exact = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        line = np.abs(before - exact).max(-1) <= 4
        assert line.sum() > 100, colour
        assert np.abs(after[line] - exact).max() <= 4, colour


@pytest.mark.parametrize("methods", [5, 7])
def test_what_is_drawn_lighter_keeps_its_hue_in_the_page(methods: int) -> None:
    """The trials behind a front are small faint marks: by frequency alone they came out in another method's tint."""
    drawn, generator = sheet(5.6, 4.4), np.random.default_rng(0)
    panel = drawn.subplots()
    for colour in COLOURS[:methods]:
        for opacity, size in ((FAINT, 3), (THIN, 2), (AREA, 4)):
            across, up = generator.uniform(1, 9, (2, 40))
            panel.plot(across, up, "o", color=colour, markersize=size, alpha=opacity, markeredgewidth=0)
        panel.plot(generator.uniform(1, 9, 300), generator.uniform(1, 9, 300), color=colour, linewidth=0.5)
    content = png(drawn)
    before, after = pixels(content), pixels(webp(content))
    for colour in COLOURS[:methods]:
        full = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        for opacity in (FAINT, THIN, AREA):
            tint = 255 - opacity * (255 - full)
            marked = np.abs(before - tint).max(-1) <= 2
            assert marked.sum() > 20, (colour, opacity)
            assert np.abs(after[marked] - tint).max() <= 4, (colour, opacity)
