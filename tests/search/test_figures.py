"""The picture shows the rows' numbers, and leaves no trace in the process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from matplotlib import rcParams
from matplotlib._pylab_helpers import Gcf
from matplotlib.axes import Axes

from search.account import Cost
from search.analysis import rows
from search.figures.accuracy_cost import describe, dodged, picture
from search.figures.learned import picture as learned_picture
from search.figures.learned import planted
from search.figures.style import COLOURS, MARKERS, log_across, png, sheet, svg
from search.method_front import front
from tests.support.journals import SCORES, journal
from tracking.record import Stage


def test_a_panel_per_problem_with_every_row_in_its_legend() -> None:
    panels = picture(rows(journal())).axes
    assert [panel.get_title(loc="left") for panel in panels] == list(SCORES)
    legend = panels[0].get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["plain", "trivial_augment", "augnet", "augnet (replay)", "unrolled"]


def test_large_marks_stand_at_mean_and_total_cost_inside_the_axes() -> None:
    made = [row for row in rows(journal()) if row.problem == "digits-rotated"]
    (panel,) = picture(made).axes
    drawn = [tuple(map(float, c.lines[0].get_xydata()[0])) for c in panel.containers]
    assert drawn == [
        pytest.approx((row.multiples(row.total.flops), 100 * row.test.mean)) for row in made if row.test is not None
    ]
    low, high = panel.get_ylim()
    ends = [100 * end for row in made if row.test is not None for end in (row.test.low, row.test.high) if end]
    assert low < min(ends)
    assert max(ends) < high
    left, right = panel.get_xlim()
    assert left < min(x for x, _ in drawn)
    assert max(x for x, _ in drawn) < right


def test_an_interval_beyond_what_can_be_does_not_stretch_the_axis() -> None:
    """Two seeds of .4 and .7 are an interval from -136 to 246 %; arrowheads stand at its cut ends, and are told."""
    def of(scores: Sequence[float]) -> Axes:
        return picture(rows(journal({"one": {"plain": scores}}, replays=()))).axes[0]

    wide, usual = of((0.4, 0.7)), of((0.80, 0.82, 0.81))
    low, high = wide.get_ylim()
    assert -5 <= low <= 0 and 100 <= high <= 105
    heads = {line.get_marker(): float(line.get_ydata()[0]) for line in wide.lines if line.get_marker() in "^v"}
    assert heads == {"^": 100.0, "v": 0.0} and "arrowheads" in wide.get_xlabel()
    assert not any(line.get_marker() in "^v" for line in usual.lines) and "arrowheads" not in usual.get_xlabel()
    figure = wide.get_figure(root=True)
    figure.draw_without_rendering()
    legend = wide.get_legend()
    assert legend is not None and not legend.get_window_extent().overlaps(wide.xaxis.label.get_window_extent())


def test_marks_move_only_where_they_would_hide_each_other() -> None:
    """Twenty rows once stood up to an inch from their costs: every mark was shifted by its place in the table."""
    assert dodged([1.0, 10.0, 100.0]) == [0, 0, 0]
    assert dodged([10.0, 1.0, 10.2]) == [-1.5, 0, 1.5]
    assert dodged([10.2, 10.0, 10.1]) == [3, -3, 0], "the cheapest on the left, whatever the table's order"
    many = dodged([15.0 + k / 1000 for k in range(40)])
    assert many == sorted(many) and many[-1] - many[0] == pytest.approx(10) and sum(many) == pytest.approx(0)


@pytest.mark.parametrize(("methods", "left_out"), [(10, False), (11, True)])
def test_among_many_rows_replays_are_left_to_the_table(methods: int, left_out: bool) -> None:
    """Twenty rows with their replays are drawn, of twenty-two the searches and the front; axis and words say so."""
    scores = {f"m{k}": (0.8 - k / 100, 0.81 - k / 100) for k in range(methods)}
    found = rows(journal({"one": scores}, replays=tuple(scores)))
    best = next(row for row in found if row.way is Stage.REPLAY and row.method == "m5")
    lifted = {name: replace(one, mean=0.97, low=0.96, high=0.98) for name, one in best.estimates.items()}
    made = [replace(row, estimates=lifted) if row is best else row for row in found]
    assert len(made) == 2 * methods and "m5 (replay)" in [row.label for row in front(made)]
    figure = picture(made)
    (panel,), (legend,) = figure.axes, figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    replays = [label for label in labels if "(replay)" in label]
    assert len(panel.containers) == len(labels) == (methods + 1 if left_out else 2 * methods)
    assert len(replays) == (1 if left_out else methods) and "m5 (replay)" in replays
    assert ("not drawn: replays" in panel.get_xlabel()) is left_out
    assert [label for label in (row.label for row in made) if f"{label} " in describe(made)] == labels
    dotted = next(line for line in panel.lines if line.get_linestyle() == ":")
    assert len(dotted.get_xdata()) == len(front(made)), "as the sentences say it"


def test_many_rows_share_one_legend_that_fits_on_the_page() -> None:
    scores = {f"a rather long name of a method {k}": (0.8 + k / 100, 0.81) for k in range(12)}
    figure = picture(rows(journal({"one": scores, "two": scores}, replays=())))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(scores)
    assert all(panel.get_legend() is None for panel in figure.axes)
    png(figure)  # places everything
    box, page = legend.get_window_extent(), figure.bbox
    assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0
    few = picture(rows(journal({"one": {"plain": (0.8, 0.81)}}, replays=())))
    assert not few.legends and few.axes[0].get_legend() is not None


def test_a_row_without_a_cost_is_named_and_not_drawn() -> None:
    made = [row for row in rows(journal()) if row.problem == "digits-rotated"]
    free = [replace(row, total=Cost()) if row.method == "unrolled" else row for row in made]
    (panel,) = picture(free).axes
    assert len(panel.containers) == sum(row.test is not None for row in made) - 1
    assert "not drawn, no cost known: unrolled" in panel.get_xlabel()
    assert "unrolled" in describe(free) and "at no known cost" in describe(free)
    assert "not drawn" not in picture(made).axes[0].get_xlabel() and "no known cost" not in describe(made)


@pytest.mark.parametrize(("low", "high"), [(0.75, 1.6), (0.11, 0.19), (1.0, 1.05), (0.6, 2.9), (3, 30), (1, 1000)])
def test_every_logarithmic_axis_has_two_numbers_and_more(low: float, high: float) -> None:
    """Below half a decade 1, 2 and 5 are one number or none."""
    figure = sheet(4.4, 3)
    panel = figure.subplots()
    panel.plot([low, high], [0, 1])
    log_across(panel)
    figure.draw_without_rendering()
    left, right = panel.get_xlim()
    labels = [text for text in panel.get_xticklabels() if left <= text.get_position()[0] <= right]
    assert 2 <= len(labels) <= 9 and len({text.get_text() for text in labels}) == len(labels)
    boxes = [text.get_window_extent() for text in labels]
    assert not any(one.overlaps(other) for one, other in pairwise(boxes))


def test_a_method_looks_the_same_in_every_picture() -> None:
    made = rows(journal())
    alone = picture(made, "which-rotation").axes[0]
    together = picture(made).axes[1]
    for one, other in zip(alone.containers, together.containers, strict=True):
        assert one.lines[0].get_color() == other.lines[0].get_color()
        assert one.lines[0].get_marker() == other.lines[0].get_marker()


def test_colour_and_marker_together_tell_many_methods_apart() -> None:
    count = len(COLOURS) * len(MARKERS)
    assert len({(COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]) for k in range(count)}) == count


def test_no_global_state_is_touched() -> None:
    before = dict(rcParams)
    made = rows(journal({"one": {"plain": (0.8, 0.82), "augnet": (0.9, 0.95)}}, replays=()))
    assert svg(picture(made)) == svg(picture(made))
    assert png(picture(made)) == png(picture(made))
    assert dict(rcParams) == before
    assert Gcf.get_all_fig_managers() == []  # pyplot knows of no figure


@pytest.mark.parametrize("label", ["_hidden", "$x^$", "a$b$c", "旋转", ""])
def test_any_label_can_be_drawn(label: str) -> None:
    events = journal({"one $x": {"plain": (0.8, 0.81), label: (0.7, 0.72)}}, replays=())
    figure = picture(rows(events))
    png(figure)
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert len(legend.get_texts()) == 2


def test_nothing_to_draw_is_a_picture_too() -> None:
    for events in ([], journal()[:3]):
        assert png(picture(rows(events))).startswith(b"\x89PNG")
    assert describe(()) == "Test score against total cost: no results yet."


def test_what_was_planted_is_marked_beside_learned_ranges_alone() -> None:
    made = [row for row in rows(journal()) if row.problem == "digits-rotated"]
    assert planted("policy/rotation/range_deg", made) == 60.0
    assert planted("rotation/width_deg", made) == 60.0
    assert planted("rotation/width_rad", made) is None, "a width in another unit"
    assert planted("policy/brightness/range_factor", made) is None and planted("range_deg", made) is None
    harmed = [row for row in rows(journal()) if row.problem == "which-rotation"]
    assert planted("policy/rotation/range_deg", harmed) is None, "the rim is no aim there"
    found = {"policy/rotation/range_deg": 44.0, "policy/rotation/probability": 0.3}
    learned = [replace(row, learned=found) for row in made]
    marks = [
        line for panel in learned_picture(learned, "digits-rotated").axes for line in panel.lines
        if line.get_label() == "planted"
    ]
    assert [tuple(line.get_xydata()[0]) for line in marks] == [(60.0, 0.0)]
