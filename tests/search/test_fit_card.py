"""The card of `invsearch fit`: what it says follows from the numbers, and what it leaves can be used."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from search import fit, fit_card
from search.fit_findings import Saying, findings, records
from search.sentences import TOO_FEW
from search.sweep import Sweep
from tests.support.rows import row, seeds
from tracking.storage import Place
from trainables.problems.bank import standard_bank
from trainables.problems.digits import Config as Digits
from trainables.problems.spec import in_memory

NOISE = np.array([0.004, -0.003, 0.001, -0.004, 0.002])
UNITS = {"rotation": "deg", "translate_x": "fraction of width", "translate_y": "fraction of height",
         "brightness": "factor"}


def scored(mean: float, shift: int = 0, scale: float = 1.0) -> dict[int, float]:
    return seeds(*(mean + scale * np.roll(NOISE, shift)).tolist())


TRIED = {
    "rotation": {"rotation": 45.0}, "flip_vertical": {"flip_vertical": 1.0}, "brightness": {"brightness": 0.45},
    "translation": {"translate_x": 0.2, "translate_y": 0.2},
}
ROWS = [
    row("plain", scored(0.80), control=True), row("learned_ranges", scored(0.9, 2)), row("rotation", scored(0.86, 1)),
    row("flip_vertical", scored(0.60, 2)), row("brightness", scored(0.801, 1, 0.5)),
    row("translation", scored(0.82, 3, 8.0)),
]


def test_the_list_is_ranked_and_says_what_the_numbers_say() -> None:
    found = findings(ROWS, TRIED, UNITS, 500)
    assert [(one.factor, one.saying) for one in found] == [
        ("rotation", Saying.HELPS), ("brightness", Saying.SAME), ("translation", Saying.UNKNOWN),
        ("flip_vertical", Saying.HARMS),
    ]
    said = [one.sentence for one in found]
    assert said[0].startswith("rotation (up to 45 degrees): helps, +6.0 points [")
    assert said[1].startswith("brightness (up to 45 % more or less): makes no difference (+0.1 points")
    assert "translate_y up to 20 % of the height): not enough data to say (+2.0 points [" in said[2]
    assert "; only a true difference of about " in said[2]
    assert "points would have been found in four of five such fits)" in said[2]
    assert said[3].startswith("flip_vertical: harms, -20.0 points")
    assert [line["action"] for line in records(found)] == [
        "rotation", "brightness", "translate_x", "translate_y", "flip_vertical",
    ]


@pytest.mark.parametrize(("factor", "width", "unit", "said"), [
    ("scale", math.log(1.25), "log factor", "up to 25 % larger, or smaller by the same factor"),
    ("hue", 0.25, "turn", "up to 90 degrees of the colour circle"),
    ("shear", math.tan(math.radians(8)), "tangent", "shear_x up to 8 degrees"),
    ("gaussian_blur", 0.05, "fraction of side", "up to 5 % of the side"),
    ("warp", 0.5, "quanta", "up to 0.5 quanta"),
])
def test_ranges_are_told_in_plain_words(factor: str, width: float, unit: str, said: str) -> None:
    action = "shear_x" if factor == "shear" else factor
    rows = [row("plain", scored(0.8), control=True), row(factor, scored(0.8, 1))]
    (found,) = findings(rows, {factor: {action: width}}, {action: unit}, 500)
    assert found.sentence.startswith(f"{factor} ({said}): ")


def test_every_unit_of_the_bank_has_plain_words() -> None:
    for action in standard_bank((3, 32, 32), {}):
        rows = [row("plain", scored(0.8), control=True), row(action.name, scored(0.8, 1))]
        (found,) = findings(rows, {action.name: {action.name: action.limit}}, {action.name: action.unit}, 500)
        assert not any(word in found.sentence for word in ("log", "tangent", "fraction", "turn", "weight"))


def test_no_difference_of_a_hundred_points_is_told() -> None:
    wild = [row("plain", seeds(0.1, 0.9, 0.2), control=True), row("rotation", seeds(0.9, 0.3, 0.4))]
    (found,) = findings(wild, {"rotation": TRIED["rotation"]}, UNITS, 500)
    assert found.least is not None and found.least > 100
    assert found.sentence.endswith(f"; {TOO_FEW})")


def test_a_plain_training_that_is_best_is_not_compared_with_itself() -> None:
    plain = ROWS[0]
    last = fit_card.words(ROWS, findings(ROWS, TRIED, UNITS, 500), plain, "x")[-1]
    assert last.startswith("The plain training itself was best by validation, test accuracy 80.0 [")
    assert last.endswith(": the network is without augmentation; validation and test do not agree here.")
    calm = [one for one in findings(ROWS, TRIED, UNITS, 500) if one.saying is not Saying.HELPS]
    assert fit_card.words(ROWS, calm, plain, "x")[-1].endswith("the network is without augmentation.")


def test_of_one_seed_nothing_is_said(tmp_path: Path) -> None:
    one = [row("plain", {1: 0.8}, control=True), row("rotation", {1: 0.9})]
    assert findings(one, TRIED, UNITS, 500) == []
    assert "Nothing can be said yet" in fit_card.words(one, [], one[1], "x")[1]


@pytest.mark.parametrize(("score", "tested"), [(1.0, 500), (0.25, 500), (0.8, 20)])
def test_scores_that_can_show_no_difference_do_not_show_that_there_is_none(score: float, tested: int) -> None:
    """All right, all at chance, or twenty test images."""
    spread = 0.0 if score in (1.0, 0.25) else 0.2
    same = [row("plain", scored(score, 0, spread), control=True), row("rotation", scored(score, 1, spread))]
    (found,) = findings(same, {"rotation": TRIED["rotation"]}, UNITS, tested)
    assert found.saying is Saying.UNKNOWN
    fine = [row("plain", scored(0.8, 0, 0.2), control=True), row("rotation", scored(0.8, 1, 0.2))]
    assert findings(fine, {"rotation": TRIED["rotation"]}, UNITS, 500)[0].saying is Saying.SAME


def test_a_flip_that_helps_is_tossed_as_it_was_in_training(tmp_path: Path) -> None:
    rows = [row("plain", scored(0.8), control=True), row("flip_horizontal", scored(0.86, 1))]
    found = findings(rows, {"flip_horizontal": {"flip_horizontal": 1.0}}, {}, 500)
    fit_card.write(Sweep(Place.of(tmp_path / "s")), rows, found, rows[1], "x", [])
    scope: dict[str, Any] = {}
    exec((tmp_path / "s" / "fit" / "augmentation.py").read_text(), scope)
    transform = next(value for value in scope.values() if isinstance(value, v2.Transform))
    torch.manual_seed(0)
    x = torch.arange(3.0).expand(1, 3, 3) / 3
    turned = sum(not torch.equal(transform(x), x) for _ in range(400))
    assert 150 < turned < 250  # a fair coin: 5 standard deviations


def test_the_card_and_the_transforms_hold_what_helps_and_nothing_else(tmp_path: Path) -> None:
    made, found = Sweep(Place.of(tmp_path / "s")), findings(ROWS, TRIED, UNITS, 500)
    files = fit_card.write(made, ROWS, found, ROWS[2], "600 images.", ["There is one seed."])
    assert sorted(path.name for path in files) == ["augmentation.py", "card.md", "invariances.csv"]
    card = (tmp_path / "s" / "fit" / "card.md").read_text()
    assert "Your task wants invariance to rotation: augment by it." in card
    assert "Do not augment by flip_vertical" in card
    assert "**Read with care:** There is one seed." in card
    assert "Best by validation: rotation, test accuracy 86.0" in card
    text = (tmp_path / "s" / "fit" / "augmentation.py").read_text()
    scope: dict[str, object] = {}
    exec(text, scope)
    assert "rotation" in text or "angle" in text
    assert "vertical_flip" not in text


def test_what_the_best_method_learned_goes_before_the_list(tmp_path: Path) -> None:
    exports = tmp_path / "s" / "exports" / "one" / "learned_ranges"
    exports.mkdir(parents=True)
    (exports / "augmentation.py").write_text("# learned")
    (exports / "model.pt2").write_bytes(b"network")
    fit_card.write(Sweep(Place.of(tmp_path / "s")), ROWS, findings(ROWS, TRIED, UNITS, 500), ROWS[1], "x", [])
    assert (tmp_path / "s" / "fit" / "augmentation.py").read_text() == "# learned"
    assert (tmp_path / "s" / "fit" / "model.pt2").read_bytes() == b"network"


def test_where_nothing_helps_there_are_no_transforms(tmp_path: Path) -> None:
    found = [one for one in findings(ROWS, TRIED, UNITS, 500) if one.saying is not Saying.HELPS]
    fit_card.write(Sweep(Place.of(tmp_path / "s")), ROWS, found, ROWS[0], "x", [])
    assert not (tmp_path / "s" / "fit" / "augmentation.py").exists()
    card = (tmp_path / "s" / "fit" / "card.md").read_text()
    assert "No invariance was found to help" in card and "no transforms: nothing was found to help" in card


def test_a_verdict_is_none_on_factors_that_were_not_tried(tmp_path: Path) -> None:
    found = [one for one in findings(ROWS, TRIED, UNITS, 500) if one.saying is Saying.UNKNOWN]
    fit_card.write(Sweep(Place.of(tmp_path / "s")), ROWS, found, ROWS[0], "x", [], (), ["shear", "colour"])
    card = (tmp_path / "s" / "fit" / "card.md").read_text()
    told = "2 of 3 factors were not tried, or on fewer than two seeds: shear and colour."
    assert told in card and card.index(told) < card.index("Of the others none was found to help")
    assert "No invariance" not in card
    whole = fit_card.words(ROWS, findings(ROWS, TRIED, UNITS, 500), ROWS[0], "x")
    assert not any("not tried" in line for line in whole)


def test_the_card_says_what_the_network_takes_and_which_output_is_which_class(tmp_path: Path) -> None:
    exports = tmp_path / "s" / "exports" / "one" / "plain"
    exports.mkdir(parents=True)
    (exports / "model.pt2").write_bytes(b"network")
    lines = fit.network_io(in_memory(Digits(size=16).load(0), 0, 0))
    fit_card.write(Sweep(Place.of(tmp_path / "s")), ROWS, [], ROWS[0], "x", [], lines)
    card = (tmp_path / "s" / "fit" / "card.md").read_text()
    assert "(B, 1, 16, 16), grey in [0, 1]" in card and "in the order: 0 0, 1 1, 2 2" in card
    assert "no report yet" in card and "None yet." in card
