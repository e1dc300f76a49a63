"""What methods say they learned: one panel per unit, a mark per row and quantity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from search.figures.style import INK, frame, legend_below, plain, sheet, styles
from search.row import Effect, Row
from tracking.record import Stage

ACROSS, MOST = 3, 9  # panels
RANGE, WIDTH = "range_", "width_"  # what half-widths are called, before their unit
MEASURED = (RANGE, WIDTH, "probability", "weight")  # how a last word begins that says what is measured
TITLES = {
    "descriptor": "descriptor (1: invariant)", "bound": "risk bound (vacuous from 1 on)",
}
LONGEST = 34  # letters of a name beside the axis


class Group(NamedTuple):
    """Quantities of one unit."""

    unit: str
    names: list[str]


def groups(rows: Sequence[Row]) -> list[Group]:
    """Learned quantities by what they measure: those that something was planted for first, then the most frequent.

    That is their last word where it says so (`rotation/range_deg`), else their first (`descriptor/rotation`).
    """
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        for name in row.learned:
            found.setdefault(_unit(name), {})[name] = None
    aimed = {unit for unit, names in found.items() if any(planted(name, rows) is not None for name in names)}
    ordered = sorted(found.items(), key=lambda pair: (pair[0] not in aimed, -len(pair[1])))
    return [Group(unit, list(names)) for unit, names in ordered]


def picture(rows: Sequence[Row], only: str) -> Figure:
    """The means over seeds, of the rows of one problem.

    Args:
        rows: all of the report, so that a method looks the same everywhere.
        only: the problem.
    """
    here = [row for row in rows if row.problem == only and row.learned and row.way is Stage.RERUN]
    found = groups(here)
    shown, left = found[:MOST], sum(len(group.names) for group in found[MOST:])
    across = max(1, min(ACROSS, len(shown)))
    down = max(1, -(-len(shown) // across))
    tallest = max((len(group.names) for group in shown), default=1)
    figure = sheet(4.2 * across, max(2.4, 1.2 + 0.22 * tallest) * down)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    for panel, group in zip(panels, shown, strict=False):
        _panel(panel, group, here, rows)
    if left:
        figure.suptitle(f"{left} more in the table", fontsize=9)
    handles: dict[str, Artist] = {}
    for panel in panels[: len(shown)]:
        handles |= {label: handle for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    legend_below(figure, list(handles.values()), list(handles))
    return figure


def describe(rows: Sequence[Row]) -> str:
    """The figure in words: the largest of what each row learned in each unit."""
    said = []
    for row in rows:
        strongest = [
            f"{name} {value:.3g}" for group in groups([row])
            for name, value in [max(((n, row.learned[n]) for n in group.names), key=lambda pair: abs(pair[1]))]
        ]
        if strongest:
            said.append(f"{row.label}: {', '.join(strongest)}")
    return "What was learned, the largest in each unit. " + "; ".join(said) + "."


def planted(name: str, rows: Sequence[Row]) -> float | None:
    """The half-width that was planted for a learned range ("policy/rotation/range_deg"); None for anything else.

    A width in another unit than the action's (Augerino's radians) is something else.
    """
    parts = name.split("/")
    if len(parts) < 2 or not parts[-1].startswith((RANGE, WIDTH)):
        return None
    unit = parts[-1].removeprefix(RANGE).removeprefix(WIDTH).replace("_", " ")
    found = (
        one for row in rows for one in row.invariances
        if one.action == parts[-2] and one.effect is Effect.HELPS and one.unit == unit
    )
    return next((one.half_width for one in found), None)


def _panel(panel: Axes, group: Group, here: Sequence[Row], rows: Sequence[Row]) -> None:
    looks, places = styles(rows), {name: place for place, name in enumerate(group.names)}
    frame(panel, _title(group.unit), "", "")
    for row in here:
        marks = [(row.learned[name], places[name]) for name in group.names if name in row.learned]
        if marks:
            look = looks[row.method]
            panel.plot(
                *zip(*marks, strict=True), look.marker, color=look.colour, markersize=5,
                markerfacecolor="none", label=plain(row.label),
            )
    aims = [(truth, places[name]) for name in group.names if (truth := planted(name, here)) is not None]
    if aims:
        panel.plot(*zip(*aims, strict=True), "|", color=INK, markersize=16, markeredgewidth=2, label="planted")
    panel.xaxis.set_major_locator(MaxNLocator(5))
    panel.set_yticks(range(len(group.names)), [plain(_short(name)) for name in group.names], fontsize=8)
    panel.set_ylim(len(group.names) - 0.5, -0.5)


def _unit(name: str) -> str:
    """"range_deg" or "probability" where the last word says what is measured, else the first: "descriptor".

    Widths are ranges: half-widths both, in one panel for a unit.
    """
    first, last = name.partition("/")[0], name.rpartition("/")[2]
    if last.startswith(WIDTH):
        return f"{RANGE}{last.removeprefix(WIDTH)}"
    return last if last.startswith(MEASURED) else first


def _title(unit: str) -> str:
    """"range, deg" of "range_deg"."""
    if not unit.startswith(RANGE):
        return TITLES.get(unit, unit)
    return f"half-width, {unit.removeprefix(RANGE).replace('_', ' ')}"


def _short(name: str) -> str:
    """Without what the panel's title says, and from its end where it is long."""
    head = name.rpartition("/")[0] if name.rpartition("/")[2].startswith(MEASURED) else name.partition("/")[2]
    head = head or name
    return head if len(head) <= LONGEST else f"...{head[3 - LONGEST :]}"
