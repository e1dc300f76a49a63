"""Where the cost went: one stacked bar per row."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from search.figures.style import COLOURS, empty, frame, legend_below, plain, sheet
from search.ledger_parts import SUMMED, Ledger
from search.row import Row

HATCHES = ("", "///", "", "...", "")


def picture(rows: Sequence[Row], ledgers: Sequence[Ledger]) -> Figure:
    """Parts of the total in plain trainings, of the rows of one problem."""
    known = [(row, one) for row, one in zip(rows, ledgers, strict=True) if row.unit_flops]
    figure = sheet(7.0, max(2.0, 1.4 + 0.28 * len(known)))
    panel = figure.subplots()
    frame(panel, rows[0].problem if rows else "", "plain trainings", "")
    if not known:
        empty(panel)
        return figure
    lines, start = range(len(known)), [0.0] * len(known)
    for part, colour, hatch in zip(SUMMED, COLOURS, HATCHES, strict=False):
        widths = [one.parts[part].flops / (row.unit_flops or 1.0) for row, one in known]
        if not any(widths):
            continue
        panel.barh(lines, widths, left=start, color=colour, hatch=hatch, edgecolor="white", label=str(part), height=0.7)
        start = [before + width for before, width in zip(start, widths, strict=True)]
    panel.set_yticks(lines, [plain(row.label) for row, _ in known])
    panel.invert_yaxis()
    panel.grid(visible=False, axis="y")
    legend_below(figure, *panel.get_legend_handles_labels())
    return figure


def describe(rows: Sequence[Row], ledgers: Sequence[Ledger]) -> str:
    """The figure in words."""
    said = []
    for row, one in zip(rows, ledgers, strict=True):
        parts = [(part, row.multiples(one.parts[part].flops)) for part in SUMMED]
        shares = [f"{part} {value:.2g}" for part, value in parts if value]
        if shares:
            said.append(f"{row.label}: {', '.join(shares)}")
    return "Cost by part in plain trainings. " + ("; ".join(said) if said else "No results yet") + "."
