"""Trials of a tuning with two objectives: select score against cost, and the front that none beats in both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from search.account import Trial
from search.figures.style import FAINT, frame, legend_below, log_across, plain, sheet, styles
from search.row import Row
from search.sentences import select_text
from tracking.record import Stage


def picture(rows: Sequence[Row], tuned: Mapping[str, Sequence[Trial]], only: str) -> Figure:
    """One panel of one problem.

    Args:
        rows: all of the report, so that a method looks the same everywhere.
        tuned: method -> its trials.
        only: the problem.
    """
    here = [row for row in rows if row.problem == only and row.way is Stage.RERUN and row.tune.front]
    looks, figure = styles(rows), sheet(5.6, 4.4)
    panel = figure.subplots()
    score = "accuracy (%)" if any(row.accuracy for row in here) else "score"
    frame(panel, only, "cost of one training, in plain trainings", f"select {score}")
    for row in here:
        look, scale = looks[row.method], 100.0 if row.accuracy else 1.0
        if not row.unit_flops:
            continue
        points = [(t.flops / row.unit_flops, scale * t.score) for t in tuned[row.method] if t.score is not None]
        panel.plot(*zip(*points, strict=True), look.marker, color=look.colour, markersize=3, alpha=FAINT)
        line = [(t.flops / row.unit_flops, scale * (t.score or 0.0)) for t in row.tune.front]
        panel.plot(
            *zip(*line, strict=True), marker=look.marker, color=look.colour, linestyle=look.dash,
            drawstyle="steps-post", label=plain(row.label),
        )
    log_across(panel)
    legend_below(figure, *panel.get_legend_handles_labels())
    return figure


def describe(rows: Sequence[Row]) -> str:
    """The figure in words."""
    said = [
        f"{row.label}: " + ", ".join(
            f"{select_text(trial.score or 0.0, row.accuracy)} at {cost:.2g}" for trial in row.tune.front
            if (cost := row.multiples(trial.flops)) is not None
        )
        for row in rows
    ]
    return "Select score at cost in plain trainings, on the front of each study. " + "; ".join(said) + "."
