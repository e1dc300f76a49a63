"""Measured invariance, one small radar per row: agreement by action, beside the best control's and the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from search.figures.bars import measured
from search.figures.style import CONTROL, GRID, HARMS, HELPS, INK, Style, plain, sheet, styles
from search.row import Effect, Invariance, Row
from search.verdicts import best_control
from tracking.record import Stage

ACROSS = 3
STEP = (4.0, 3.1)  # from one radar's middle to the next, in radii: room for the names between them
INCHES = 0.8  # a radius
RINGS = (0.25, 0.5, 0.75, 1.0)
FEWEST = 3  # axes of a radar
LONGEST = 12  # letters of an action's name beside its axis
SHORT = 4  # letters of a unit that stands beside its number
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
    harms there, and the rim cannot be right.

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


def _web(panel: Axes, middle: Point, title: str, found: Sequence[Invariance]) -> None:
    panel.text(middle[0], middle[1] + 1.3, plain(title), fontsize=9, ha="center")
    for radius in RINGS:
        panel.plot(*_closed(middle, [radius] * len(found)), color=GRID, linewidth=0.6)
    for (x, y), one in zip(_spokes(len(found)), found, strict=True):
        panel.plot([middle[0], middle[0] + x], [middle[1], middle[1] + y], color=GRID, linewidth=0.6)
        name = one.action if len(one.action) <= LONGEST else f"{one.action[: LONGEST - 1]}."
        known = one.effect is not Effect.UNKNOWN
        panel.text(
            middle[0] + 1.06 * x, middle[1] + 1.1 * y, f"{plain(name)}{_aim(one)}", fontsize=8, color=INKS[one.effect],
            weight="bold" if known else "normal", ha="left" if x > 0.2 else "right" if x < -0.2 else "center",
            va="center",
        )


def _aim(one: Invariance) -> str:
    """What was planted, below the name: "up to 60 deg", or from where on labels change; long units on a third line."""
    start = {Effect.HELPS: "up to", Effect.HARMS: "from"}.get(one.effect)
    if start is None or one.half_width is None:
        return ""
    unit = plain(one.unit).removeprefix("fraction ")
    between = " " if len(unit) <= SHORT else "\n"
    return f"\n{start} {one.half_width:g}{between}{unit}".rstrip()


def _polygon(panel: Axes, middle: Point, values: Sequence[float], look: Style | None) -> None:
    across, up = _closed(middle, values)
    colour = CONTROL if look is None else look.colour
    panel.plot(across, up, color=colour, linewidth=1.0 if look is None else 1.4)
    if look is not None:
        panel.fill(across, up, color=colour, alpha=0.2)


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
