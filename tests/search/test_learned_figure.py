"""Panels of what was learned: by what is measured, and none is dropped without a word."""

from __future__ import annotations

from dataclasses import replace

from search.figures.learned import MOST, describe, groups, picture
from search.row import Row
from tests.support.rows import row, seeds

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
        "width_fraction_of_width": ["translate_x/width_fraction_of_width"], "rate": ["rate/0.weight"],
    }


def test_every_panel_says_its_unit_and_every_mark_its_quantity() -> None:
    figure = picture([learner(LEARNED)], "one")
    panels = {
        panel.get_title(loc="left"): [label.get_text() for label in panel.get_yticklabels()] for panel in figure.axes
        if panel.get_title(loc="left")
    }
    assert panels == {
        "descriptor (0: not asked for, 1: invariant)": ["rotation", "scale"], "range, deg": ["policy/rotation"],
        "probability": ["policy/rotation"], "width, fraction of width": ["translate_x"], "rate": ["0.weight"],
    }
    assert figure.get_suptitle() == ""


def test_what_has_no_room_is_counted_in_the_picture_and_named_in_words() -> None:
    many = {f"policy/{k}/range_{'x' * (k + 1)}": float(k) for k in range(MOST + 2)}
    assert picture([learner(many)], "one").get_suptitle() == "2 more in the table"
    assert all(name in describe([learner(many)]) for name in many)
