"""Panels of what was learned: by what is measured, and none is dropped without a word."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from search.figures.learned import MOST, describe, groups, picture
from search.row import Effect, Invariance, Row
from tests.support.rows import row, seeds
from tracking.record import Stage

LEARNED = {
    "descriptor/rotation": 0.9, "descriptor/scale": 0.1, "policy/rotation/range_deg": 40.0,
    "policy/rotation/probability": 0.7, "translate_x/width_fraction_of_width": 0.2, "rate/0.weight": 0.3,
}


def learner(learned: dict[str, float]) -> Row:
    return replace(row("a", seeds(0.5, 0.6)), learned=learned)


def test_quantities_are_grouped_by_what_they_measure() -> None:
    found = {group.unit: group.names for group in groups([learner(LEARNED)])}
    assert found == {
        "descriptor": ["descriptor/rotation", "descriptor/scale"], "range_deg": ["policy/rotation/range_deg"],
        "probability": ["policy/rotation/probability"],
        "range_fraction_of_width": ["translate_x/width_fraction_of_width"], "rate": ["rate/0.weight"],
    }


def test_what_was_planted_comes_first_and_widths_stand_beside_ranges() -> None:
    """Twelve units of nothing planted do not push the one that matters off the picture."""
    turned = Invariance("rotation", "deg", Effect.HELPS, 60.0, {})
    many = {f"noise/{k}/range_{'x' * (k + 1)}": 1.0 for k in range(MOST + 3)}
    many |= {f"noise/{k}/range_x": 1.0 for k in range(5)}
    first = replace(learner(many | {"rotation/width_deg": 1.9}), invariances=(turned,))
    second = replace(learner({"policy/rotation/range_deg": 40.0}), method="b", invariances=(turned,))
    assert groups([first, second])[0].names == ["rotation/width_deg", "policy/rotation/range_deg"]
    panel = picture([first, second], "one").axes[0]
    assert panel.get_title(loc="left") == "half-width, deg"


def test_a_replay_has_no_marks_of_its_own() -> None:
    """It is trained with what the search found: the same numbers."""
    found = learner({"rotation/width_deg": 1.9})
    figure = picture([found, replace(found, way=Stage.REPLAY)], "one")
    assert len(figure.axes[0].lines) == 1


def test_the_legend_of_a_single_panel_fits_on_the_page() -> None:
    """Four columns of long names once stood on a sheet of one panel, and were cut."""
    long = [replace(learner({"rotation/width_deg": 1.9}), method=f"faster_autoaugment-train-{k}") for k in range(7)]
    figure = picture(long, "one")
    figure.draw_without_rendering()
    (legend,) = figure.legends
    box, sheet = legend.get_window_extent(), figure.bbox
    assert sheet.x0 <= box.x0 and box.x1 <= sheet.x1 and sheet.y0 <= box.y0
    assert figure.axes[0].get_window_extent().height > 0.3 * sheet.height, "room is left for what is drawn"


def test_long_numbers_below_a_panel_do_not_touch() -> None:
    names = "translate_x/width_fraction", "descriptor/rotation"
    first, second = (learner(dict.fromkeys(names, value)) for value in (0.00438, 0.00603))
    figure = picture([first, replace(second, method="b")], "one")
    figure.draw_without_rendering()
    for panel in figure.axes:
        left, right = panel.get_xlim()
        labels = [text for text in panel.get_xticklabels() if left <= text.get_position()[0] <= right]
        boxes = [text.get_window_extent() for text in labels]
        assert len(boxes) >= 3
        assert not any(one.overlaps(other) for one, other in pairwise(boxes))


def test_every_panel_says_its_unit_and_every_mark_its_quantity() -> None:
    figure = picture([learner(LEARNED)], "one")
    panels = {
        panel.get_title(loc="left"): [label.get_text() for label in panel.get_yticklabels()] for panel in figure.axes
        if panel.get_title(loc="left")
    }
    assert panels == {
        "descriptor (1: invariant)": ["rotation", "scale"], "half-width, deg": ["policy/rotation"],
        "probability": ["policy/rotation"], "half-width, fraction of width": ["translate_x"], "rate": ["0.weight"],
    }
    assert figure.get_suptitle() == ""


def test_what_has_no_room_is_counted_in_the_picture_and_named_in_words() -> None:
    many = {f"policy/{k}/range_{'x' * (k + 1)}": float(k) for k in range(MOST + 2)}
    assert picture([learner(many)], "one").get_suptitle() == "2 more in the table"
    assert all(name in describe([learner(many)]) for name in many)
