"""Measured invariance, one small radar per row: agreement by action, beside the best control's and the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import wrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from search.figures.bars import measured
from search.figures.style import AREA, CONTROL, GRID, HARMS, HELPS, INK, Style, plain, sheet, styles
from search.row import Effect, Invariance, Row
from search.verdicts import best_control
from tracking.record import Stage

ACROSS = 3
STEP = (4.0, 3.3)  # from one radar's middle to the next, in radii: room for the names between them
INCHES = 0.8  # a radius
RINGS = (0.25, 0.5, 0.75, 1.0)
FEWEST = 3  # axes of a radar
LONGEST = 12  # letters of a line of an action's name beside its axis
WIDE = 100  # letters of a line below all radars, for a width of three
NUMBERED = (0.5, 1.0)  # rings
QUANTITY = "agreement"
INKS = {Effect.HELPS: HELPS, Effect.HARMS: HARMS, Effect.UNKNOWN: INK}

Point = tuple[float, float]


def drawable(rows: Sequence[Row]) -> list[Row]:
    """Searches with a measured agreement on at least three actions: fewer make no radar."""
    return [
        row for row in rows
        if row.way is Stage.RERUN and sum(QUANTITY in one.measured for one in row.invariances) >= FEWEST
    ]


def picture(rows: Sequence[Row], only: str) -> Figure:
    """One radar per row of one problem, from 0 in the middle to 1 at the rim.

    Grey: the best control. Green names: invariance was planted there, so that the rim is the aim; red names: it
    harms there, and the rim cannot be right. How far is said once, below all: it is the same in every radar, and there
    is no room for it between the names.

    Args:
        rows: all of the report, so that a method looks the same everywhere.
        only: the problem.
    """
    here = [row for row in rows if row.problem == only]
    shown, looks, control = drawable(here), styles(rows), best_control(here)
    across = max(1, min(ACROSS, len(shown)))
    down = max(1, -(-len(shown) // across))
    figure = sheet(INCHES * STEP[0] * across, INCHES * STEP[1] * down)
    panel = figure.subplots()  # one for all: axes are what takes the time
    if said := aims(here):
        figure.supxlabel("\n".join(wrap(plain(said), WIDE * across // ACROSS)), fontsize=9)
    panel.set_axis_off()
    panel.set_aspect("equal")
    panel.set_xlim(-STEP[0] / 2, (across - 0.5) * STEP[0])
    panel.set_ylim(-(down - 0.5) * STEP[1], STEP[1] / 2)
    for place, row in enumerate(shown):
        middle = (place % across * STEP[0], -(place // across) * STEP[1])
        found = [one for one in row.invariances if QUANTITY in one.measured]
        _web(panel, middle, row.label, found)
        by = {} if control is None or control is row else {
            one.action: one.measured[QUANTITY] for one in control.invariances if QUANTITY in one.measured
        }
        if all(one.action in by for one in found):
            _polygon(panel, middle, [by[one.action] for one in found], None)
        _polygon(panel, middle, [one.measured[QUANTITY] for one in found], looks[row.method])
    return figure


def describe(rows: Sequence[Row]) -> str:
    """The figure in words: agreement where something was planted."""
    said = []
    for row in measured(rows):
        planted = [
            f"{one.action} ({one.effect}) {one.measured[QUANTITY]:.2f}" for one in row.invariances
            if one.effect is not Effect.UNKNOWN and QUANTITY in one.measured
        ]
        if planted:
            said.append(f"{row.label}: {', '.join(planted)}")
    return "Agreement by action" + (f"; where planted: {'; '.join(said)}" if said else ", nothing planted") + "."


def aims(rows: Sequence[Row]) -> str:
    """"Planted: rotation up to 60 deg; harmful: contrast from 0.2" of one problem; empty where nothing is."""
    found = {one.action: one for row in rows for one in row.invariances if one.half_width is not None}
    said = []
    for effect, word, start in ((Effect.HELPS, "planted", "up to"), (Effect.HARMS, "harmful", "from")):
        reaches = [
            f"{one.action} {start} {one.half_width:g} {one.unit}".rstrip() for one in found.values()
            if one.effect is effect
        ]
        said += [f"{word}: {', '.join(reaches)}"] if reaches else []
    return "; ".join(said)


def _web(panel: Axes, middle: Point, title: str, found: Sequence[Invariance]) -> None:
    spokes = _spokes(len(found))
    panel.text(middle[0], middle[1] + 1.45, plain(title), fontsize=9, ha="center")
    for radius in RINGS:
        panel.plot(*_closed(middle, [radius] * len(found)), color=GRID, linewidth=0.6)
    for radius in NUMBERED:  # where a ring is between the first two spokes
        x, y = ((one + other) / 2 * radius for one, other in zip(*spokes[:2], strict=True))
        panel.text(middle[0] + x, middle[1] + y, f"{radius:g}", fontsize=8, color=INK, ha="center", va="center")
    for (x, y), one in zip(spokes, found, strict=True):
        panel.plot([middle[0], middle[0] + x], [middle[1], middle[1] + y], color=GRID, linewidth=0.6)
        known = one.effect is not Effect.UNKNOWN
        panel.text(
            middle[0] + 1.06 * x, middle[1] + 1.06 * y, plain(_named(one.action)), fontsize=8, color=INKS[one.effect],
            weight="bold" if known else "normal", ha="left" if x > 0.2 else "right" if x < -0.2 else "center",
            va="bottom" if y > 0.8 else "top" if y < -0.8 else "center", linespacing=1.0,
        )


def _named(action: str) -> str:
    """On two lines where it is long: "flip_" above "horizontal"."""
    first, between, last = action.rpartition("_")
    lines = [first + between, last] if len(action) > LONGEST and first else [action]
    return "\n".join(line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}." for line in lines)


def _polygon(panel: Axes, middle: Point, values: Sequence[float], look: Style | None) -> None:
    across, up = _closed(middle, values)
    colour = CONTROL if look is None else look.colour
    panel.plot(across, up, color=colour, linewidth=1.0 if look is None else 1.4)
    if look is not None:
        panel.fill(across, up, color=colour, alpha=AREA)


def _closed(middle: Point, values: Sequence[float]) -> tuple[list[float], list[float]]:
    ends = [
        (middle[0] + value * x, middle[1] + value * y)
        for value, (x, y) in zip(values, _spokes(len(values)), strict=True)
    ]
    ends.append(ends[0])
    return [x for x, _ in ends], [y for _, y in ends]


def _spokes(count: int) -> list[Point]:
    """Unit vectors, clockwise from the top."""
    return [(math.sin(2 * math.pi * k / count), math.cos(2 * math.pi * k / count)) for k in range(count)]
