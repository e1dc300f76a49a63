"""What every figure of a report draws, read from its artists, against a sweep that was worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer
from matplotlib.lines import Line2D

from search.analysis import rows
from search.curves import curves
from search.figures import bars, break_even, expected, radar
from search.figures.curves import picture
from search.figures.expected import POINTS, counted
from search.figures.radar import NUMBERED
from search.figures.style import GRID, sheet
from search.row import Effect, Invariance
from tests.search.hand_worked import LEARNED, figure
from tests.support.journals import Writer, journal
from tests.support.rows import row, seeds
from tracking.record import Stage
from trainables.problems.bank import standard_bank

Points = list[tuple[float, float]]


def points(line: Line2D) -> Points:
    """As drawn: in the units of the axes, whatever transform the line has."""
    onto = line.get_transform() - line.axes.transData
    return [(float(x), float(y)) for x, y in onto.transform(line.get_xydata())]


def near(expected: Sequence[tuple[float, float]]) -> list[object]:
    return [pytest.approx(point) for point in expected]


def labelled(panel: Axes) -> dict[str, Points]:
    """Lines that a legend names."""
    return {str(line.get_label()): points(line) for line in panel.lines if not str(line.get_label()).startswith("_")}


def check_upright(panel: Axes, *, down: bool = False) -> None:
    """More is up and to the right, and all that is drawn is within the limits; of rows of bars the first is on top."""
    (left, right), (low, high) = panel.get_xlim(), panel.get_ylim()
    assert left < right and (low > high if down else low < high)
    for x, y in [point for line in panel.lines for point in points(line)]:
        assert left <= x <= right and min(low, high) <= y <= max(low, high)


def stacked(panel: Axes) -> dict[tuple[str, str], tuple[float, float]]:
    """(name of the row beside the axis, part in the legend) -> where its bar begins, and how long it is."""
    names = dict(zip(map(float, panel.get_yticks()), (t.get_text() for t in panel.get_yticklabels()), strict=True))
    return {
        (names[bar.get_y() + bar.get_height() / 2], str(one.get_label())): (bar.get_x(), bar.get_width())
        for one in panel.containers if isinstance(one, BarContainer) for bar in one.patches
    }


def webs(panel: Axes) -> list[list[list[float]]]:
    """Of each radar from left to right: the distances of its polygons' corners from its middle, in drawing order."""
    drawn = [line for line in panel.lines if to_hex(line.get_color()) != GRID]
    middles = sorted({points(line)[0] for line in panel.lines if len(line.get_xydata()) == 2})  # where spokes begin
    found: list[list[list[float]]] = [[] for _ in middles]
    for corners in (points(line)[:-1] for line in drawn):
        away = [[math.dist(middle, corner) for corner in corners] for middle in middles]
        place = min(range(len(middles)), key=lambda k: max(away[k]))
        found[place].append([round(distance, 9) for distance in away[place]])
    return found


def test_the_bars_of_the_ledger_are_the_parts_of_the_cost_end_to_end() -> None:
    (panel,) = figure("ledger").axes
    check_upright(panel, down=True)
    found = {key: bar for key, bar in stacked(panel).items() if bar[1]}
    assert found == {
        ("plain", "probe"): pytest.approx((0.0, 0.1)), ("plain", "tuning"): pytest.approx((0.1, 6.5)),
        ("plain", "retraining"): pytest.approx((6.6, 6.0)),
        ("git", "pre-training"): pytest.approx((0.0, 20.0)), ("git", "probe"): pytest.approx((20.0, 0.2)),
        ("git", "tuning"): pytest.approx((20.2, 1.2)), ("git", "search"): pytest.approx((21.4, 0.6)),
        ("git", "retraining"): pytest.approx((22.0, 1.0)),
    }
    names = [text.get_text() for text in panel.get_figure(root=True).legends[0].get_texts()]
    assert names == ["pre-training", "probe", "tuning", "search", "retraining"]


def test_the_corners_of_a_radar_are_as_far_out_as_predictions_agree() -> None:
    """Means over two seeds. Plain is the best control: grey behind the other, and not behind itself."""
    (panel,) = figure("invariance").axes
    check_upright(panel)
    assert webs(panel) == [[[0.4, 0.9, 0.6]], [[0.4, 0.9, 0.6], [1.0, 0.5, 0.2]]]
    names = [text.get_text() for text in panel.texts]
    around = ["0.5", "1", "rotation", "shear", "brightness"]
    assert names == ["plain", *around, "git", *around]
    assert panel.get_figure(root=True).get_supxlabel() == "planted: rotation up to 60 deg; harmful: shear from 0.4"
    outlines = [line for line in panel.lines if to_hex(line.get_color()) not in (GRID, "#888888")]
    for outline, area in zip(outlines, panel.patches, strict=True):
        assert [tuple(corner) for corner in area.get_xy()] == near(points(outline)), "filled to the line"


def test_the_corners_of_a_radar_stand_under_the_names_of_their_actions() -> None:
    """Clockwise from the top, of plain around (0, 0): rotation, shear right below, brightness left below."""
    (panel,) = figure("invariance").axes
    rotation, shear, brightness = (text.get_position() for text in panel.texts[3:6])
    assert abs(rotation[0]) < 1e-9 and rotation[1] > 1
    assert shear[0] > 0.8 and shear[1] < -0.5 and brightness[0] < -0.8 and brightness[1] < -0.5
    polygon = next(points(line) for line in panel.lines if to_hex(line.get_color()) != GRID)
    aside = math.sqrt(0.75)  # sin of 120 degrees
    expected = [(0, 0.4), (0.9 * aside, -0.45), (-0.6 * aside, -0.3), (0, 0.4)]
    assert polygon == [pytest.approx(corner, abs=1e-9) for corner in expected]


@pytest.mark.parametrize("channels", [1, 3])
def test_names_of_many_radars_do_not_touch(channels: int) -> None:
    """Seven rows and the actions of grey and of coloured images, three of them planted: at the top and beside it too.

    Nor do they reach into a radar, where the rim is the aim.
    """
    actions = [action.name for action in standard_bank((channels, 8, 8), {})]
    effects = [Effect.HELPS if k in (0, 1, 7) else Effect.UNKNOWN for k in range(len(actions))]
    measured = tuple(
        Invariance(action, "fraction of width", effect, 0.25, {"agreement": 0.5})
        for action, effect in zip(actions, effects, strict=True)
    )
    scores = {"one": {f"method-{k}": (0.8, 0.82) for k in range(7)}}
    made = [replace(row, invariances=measured) for row in rows(journal(scores, replays=(), truths={}))]
    drawn = radar.picture(made, "one")
    drawn.draw_without_rendering()
    boxes = [text.get_window_extent() for text in drawn.axes[0].texts]
    assert len(boxes) == 7 * (1 + len(NUMBERED) + len(actions))
    for first, second in combinations(boxes, 2):
        assert not first.overlaps(second)
    tip, top = (drawn.axes[0].transData.transform((0, y))[1] for y in (1, 0))
    names = {text.get_text(): text.get_window_extent() for text in drawn.axes[0].texts[: 3 + len(actions)]}
    assert names[actions[0]].y0 >= tip > top and "flip_\nhorizontal" in names
    canvas = drawn.bbox
    assert all(canvas.x0 <= box.x0 and box.x1 <= canvas.x1 for box in boxes)


def test_agreement_on_two_actions_is_drawn_as_bars_of_that_length() -> None:
    """.9 and .97 of every row, as the synthetic journal has them."""
    made = rows(journal({"one": {"plain": (0.8, 0.82), "augnet": (0.9, 0.95)}}, replays=(), truths={}))
    first, second = bars.picture(made, "one").axes
    for panel, action, value in ((first, "rotation", 0.9), (second, "brightness", 0.97)):
        assert panel.get_title(loc="left") == f"{action}: nothing planted" and panel.get_xlabel() == "agreement"
        (drawn,) = panel.containers
        assert [(bar.get_x(), bar.get_width()) for bar in drawn.patches] == near([(0, value), (0, value)])
    assert [text.get_text() for text in first.get_yticklabels()] == ["plain", "augnet"]


def test_n_tasks_cost_the_pre_training_once_and_then_the_tasks() -> None:
    """A task is the tuning and one training: 9.5 of plain, 2 of git after a pre-training of 20; even after 2.67."""
    (panel,) = figure("break-even").axes
    check_upright(panel)
    lines = labelled(panel)
    assert list(lines) == ["plain", "git"]
    assert [lines["plain"][0], lines["plain"][-1]] == near([(1, 9.5), (1000, 9500)])
    assert [lines["git"][0], lines["git"][-1]] == near([(1, 22), (1000, 2020)])
    for name, intercept, slope in (("plain", 0, 9.5), ("git", 20, 2)):
        assert lines[name] == near([(tasks, intercept + slope * tasks) for tasks, _ in lines[name]])
    cheaper = [x for (x, own), (_, rival) in zip(lines["git"], lines["plain"], strict=True) if own < rival]
    assert min(cheaper) == min(x for x, _ in lines["git"] if x > 20 / 7.5)


def test_a_line_that_lies_on_another_leaves_it_to_be_seen() -> None:
    """Two rows of one cost: the second is dashed, and its mark stands elsewhere."""
    scores = {"one": {"m0": (0.8, 0.82), "m1": (0.8, 0.82), "unrolled": (0.9, 0.95)}}
    made = rows(journal(scores, replays=(), truths={}))
    first, second, third = break_even.picture(made, "one").axes[0].lines
    assert points(first) == near(points(second)) and points(first) != near(points(third))
    assert [line.get_linestyle() == "--" for line in (first, second, third)] == [False, True, False]
    assert first.get_markevery() != second.get_markevery()


def test_each_panel_of_the_anytime_curves_has_the_scale_of_its_own_scores() -> None:
    left, right = figure("anytime").axes
    assert not left.get_shared_y_axes().joined(left, right) and left.get_ylabel() == right.get_ylabel()


def test_anytime_curves_rise_with_each_better_trial_and_end_where_the_cost_does() -> None:
    """Costs add up over the trials: 0.5, 1.5, 3.5 (worse) and 6.5 of plain, 0.4 and 1.2 of git."""
    left, right = figure("anytime").axes
    for panel in (left, right):
        check_upright(panel)
        assert {line.get_drawstyle() for line in panel.lines} == {"steps-post"}, "held until the next best"
    assert labelled(left) == {
        "plain": near([(0.5, 60), (1.5, 70), (6.5, 90), (6.5, 90)]), "git": near([(0.4, 50), (1.2, 80), (1.2, 80)]),
    }
    assert [points(line) for line in right.lines] == [
        near([(1.5, 60), (3, 60)]), near([(1.5, 90), (3, 90)]), near([(0.4, 70), (0.8, 70)]),
        near([(0.4, 75), (0.8, 75)]),
    ]


def test_of_many_rows_the_trainings_are_drawn_as_means_over_seeds() -> None:
    """Seven copies of plain under other names: a line for each, from where both seeds have begun."""
    writer = Writer("many")
    names = [f"m{k}" for k in range(7)]
    writer.begin(["one"], names, 2, {})
    writer.trial("one", "budget-unit", Stage.UNIT, 0, 1000)
    for name in names:
        for seed, score in ((1, 0.6), (2, 0.9)):
            writer.trial("one", name, Stage.RERUN, seed, 1000 * seed, score=score, extra={"test/score": score})
    made, found = rows(writer.events), curves(writer.events)
    panel = picture(made, found, "one").axes[1]
    assert [points(line) for line in panel.lines] == 7 * [near([(1, 75), (2, 75)])]
    few = picture([row for row in made if row.method in names[:6]], found, "one").axes[1]
    assert len(few.lines) == 12
    assert panel.get_title(loc="left") != few.get_title(loc="left")


def test_both_panels_of_the_classes_show_means_over_seeds_at_the_size_of_the_class() -> None:
    left, right = figure("classes").axes
    check_upright(left)
    check_upright(right)
    assert labelled(left) == {"plain": near([(50, 0.6), (200, 0.03)]), "git": near([(50, 0.2), (200, 0.02)])}
    assert labelled(right) == {"plain": near([(50, 40), (200, 80)]), "git": near([(50, 60), (200, 90)])}
    assert right.get_ylabel() == "accuracy (%)"


def test_a_front_stands_at_the_cost_of_its_trainings_among_all_trials() -> None:
    """The trial of plain at 2 is worse than the one at 1: it is drawn, and not on the line."""
    (panel,) = figure("front").axes
    check_upright(panel)
    assert labelled(panel) == {"plain": near([(0.5, 60), (1, 70), (3, 90)]), "git": near([(0.4, 50), (0.8, 80)])}
    clouds = [points(line) for line in panel.lines if str(line.get_label()).startswith("_")]
    assert clouds == [near([(0.5, 60), (1, 70), (2, 65), (3, 90)]), near([(0.4, 50), (0.8, 80)])]


def test_the_expected_best_rises_with_the_number_of_trials() -> None:
    """Scores .5, .6, .9 after the defaults: (.5 + .6 + .9) / 3, then (.6 + .9 + .9) / 3, then .9."""
    writer = Writer("s")
    writer.begin(["p"], ["plain"], 1, {})
    writer.events[0]["comparison"] |= {"sampler": "random", "asha": None}
    for index, score in enumerate((0.7, 0.5, 0.6, 0.9)):
        writer.trial("p", "plain", Stage.TUNE, index, 10, score=score)
    (panel,) = figure("expected-best", writer.events).axes
    check_upright(panel)
    assert labelled(panel) == {"plain": near([(1, 200 / 3), (2, 80), (3, 90)])}


@pytest.mark.parametrize("total", [1, 59, 60, 61, 5000])
def test_long_random_searches_are_drawn_at_few_counts_and_at_both_ends(total: int) -> None:
    counts = counted(total)
    assert counts == sorted(set(counts)) and counts[0] == 1 and counts[-1] == total
    assert counts == list(range(1, total + 1)) if total <= POINTS else len(counts) <= POINTS


def test_a_random_search_of_two_thousand_trials_is_drawn() -> None:
    """Of all scores from 1 to 2,000 the mean, and the best; the number of ways to choose half of them is no float."""
    plain = row("plain", seeds(0.5, 0.5))
    (panel,) = expected.picture([plain], {"plain": [float(score) for score in range(1, 2001)]}, "one").axes
    (line,) = labelled(panel).values()
    assert [line[0], line[-1]] == near([(1, 100_050), (2000, 200_000)])


def test_every_learned_quantity_is_drawn_in_the_panel_of_its_unit() -> None:
    """Two in degrees and one probability, of one row: two panels, two marks and one."""
    panels = [panel for panel in figure("learned").axes if panel.axison]
    marks = [
        sum(len(line.get_xydata()) for line in panel.lines if line.get_label() == "git") + sum(
            len(one.patches) for one in panel.containers if isinstance(one, BarContainer)
        )
        for panel in panels
    ]
    assert sorted(marks) == [1, 2] and sum(marks) == len(LEARNED)


@pytest.mark.parametrize("broken", ["upside down", "cut"])
def test_the_check_itself_rejects(broken: str) -> None:
    panel = sheet(2, 2).subplots()
    panel.plot([1, 2], [60, 90])
    check_upright(panel)
    panel.set_ylim(*((100, 0) if broken == "upside down" else (0, 70)))
    with pytest.raises(AssertionError):
        check_upright(panel)
