"""Curves of tunings and of trainings, from journals that can be read by eye."""

from __future__ import annotations

import math

import pytest

from search.analysis import rows
from search.anytime import mean_curve
from search.curves import Curves, anytime, curves, reached, records
from search.incumbents import incumbents
from tests.support.journals import UNIT_FLOPS, Writer, journal
from tests.support.rows import row, seeds
from tracking.journal import Event
from tracking.record import Stage, Status

P = "digits-rotated"


def test_a_tuning_rises_with_every_better_whole_trial_at_the_cost_of_all_so_far() -> None:
    """Trials of the synthetic journal: complete 1.0 at .70, pruned .4, complete 1.0 at .74, cut .4; augnet at 1.6."""
    found = curves(journal())[P, "augnet"]
    assert found.tuning == [(1.6 * UNIT_FLOPS, 0.7), (2.4 * 1.6 * UNIT_FLOPS, 0.74)]
    assert found.tuned == pytest.approx(2.8 * 1.6 * UNIT_FLOPS)


def test_it_is_what_incumbents_say_of_every_study() -> None:
    events = journal()
    for study, found in curves(events).items():
        assert found.tuning == [(one.spent, one.score) for one in incumbents(events, *study)]


def test_trainings_hold_each_new_best_of_reports_that_may_be_judged() -> None:
    writer = Writer()
    writer.begin([P], ["plain"], 1, {})
    uid = f"{P}/plain/rerun-1"
    writer.emit("asked", uid=uid, problem=P, method="plain", stage="rerun", index=1, seed=1, partition=1, config={})
    for index, (score, ready) in enumerate([(0.9, False), (0.5, True), (0.4, True), (0.6, True)]):
        writer.emit("result", uid=uid, index=index, status="running", ready=ready, score=score, flops=10 * (index + 1),
                    metrics={}, values=[score])
    assert curves(writer.events)[P, "plain"].trainings == {}, "it has not ended"
    writer.emit("ended", uid=uid, status="complete", reason=None, metrics={})
    found = curves(writer.events)[P, "plain"]
    assert (found.trainings, found.ends) == ({1: [(20, 0.5), (40, 0.6)]}, {1: 40})
    assert reached(found) == 0.6


def made(tuning: list[tuple[float, float]], budget: float) -> float | None:
    """Area of a study whose trials cost and score so much, in plain trainings."""
    writer = Writer()
    writer.begin([P], ["plain"], 1, {})
    writer.trial(P, "budget-unit", Stage.UNIT, 0, UNIT_FLOPS)
    for index, (cost, score) in enumerate(tuning):
        writer.trial(P, "plain", Stage.TUNE, index, round(cost * UNIT_FLOPS), score=score)
    events: list[Event] = writer.events
    return anytime(rows(events), curves(events), budget, None)["plain"].area


def test_the_area_by_hand() -> None:
    """Nothing until 2, .5 until 4, .8 until 8, on a log axis from 1 to 8: thirds."""
    assert made([(2, 0.5), (2, 0.8)], 8) == pytest.approx((0 + 0.5 + 0.8) / 3)
    assert made([(1, 0.5)], math.e) == pytest.approx(0.5)
    assert made([(1, 0.5)], 1) is None, "there is no axis"


def test_time_to_what_the_best_control_reached_counts_the_seeds_that_did_not() -> None:
    writer = Writer()
    writer.begin([P], ["plain", "a"], 2, {})
    writer.trial(P, "budget-unit", Stage.UNIT, 0, UNIT_FLOPS)
    for seed, score in ((1, 0.8), (2, 0.9), (3, 0.6), (4, 0.6)):
        writer.trial(P, "a", Stage.RERUN, seed, UNIT_FLOPS, score=score)
    events = writer.events
    hit = anytime(rows(events), curves(events), 6, 0.75)["a"].to_target
    assert hit is not None
    assert (hit.hits, hit.runs, hit.median) == (2, 4, UNIT_FLOPS / 2)
    assert hit.expected == (0.5 + 0.5 + 1 + 1) * UNIT_FLOPS / 2  # two that reach it by half, two that never do


def test_a_training_that_failed_is_a_run_that_never_reached_it_at_the_cost_it_had() -> None:
    """Two hits at .5; one failed at .5 after a score above the target, one at .9 by its last word, one unheard."""
    writer = Writer()
    writer.begin([P], ["plain", "a"], 5, {})
    writer.trial(P, "budget-unit", Stage.UNIT, 0, UNIT_FLOPS)
    for seed in (1, 2):
        writer.trial(P, "a", Stage.RERUN, seed, UNIT_FLOPS, score=0.8)
    whole = curves(writer.events)[P, "a"]
    assert whole.failed == {}
    writer.trial(P, "a", Stage.RERUN, 3, UNIT_FLOPS, score=0.8, status=Status.FAILED, reason="x")
    for seed, metrics in ((4, {"cost/flops": 0.9 * UNIT_FLOPS}), (5, {})):
        uid = f"{P}/a/rerun-{seed}"
        writer.emit("asked", uid=uid, problem=P, method="a", stage="rerun", index=seed, seed=1, partition=1, config={})
        writer.emit("result", uid=uid, index=0, status="failed", ready=False, score=None, reason="x", values=[None],
                    flops=round(metrics.get("cost/flops", 0)), metrics=metrics)
        writer.emit("ended", uid=uid, status="failed", reason="x", metrics=metrics)
    events = writer.events
    found = curves(events)[P, "a"]
    assert found.failed == {3: UNIT_FLOPS / 2, 4: 0.9 * UNIT_FLOPS, 5: 0}
    assert (found.trainings, found.ends, reached(found)) == (whole.trainings, whole.ends, 0.8)
    hit = anytime(rows(events), {(P, "a"): found}, 6, 0.75)["a"].to_target
    assert hit is not None and (hit.hits, hit.runs, hit.median) == (2, 5, UNIT_FLOPS / 2)
    assert hit.expected == pytest.approx((0.5 + 0.5 + 0.5 + 0.9) * UNIT_FLOPS / 2)


def test_failed_reports_and_bred_trials_make_no_points() -> None:
    writer = Writer()
    writer.begin([P], ["plain"], 1, {})
    writer.trial(P, "plain", Stage.TUNE, 0, 10, status=Status.FAILED, reason="x")
    assert curves(writer.events)[P, "plain"].tuning == []


def test_records_hold_every_point() -> None:
    events = journal()
    found = curves(events)
    lines = records([row for row in rows(events) if row.problem == P], found)
    points = sum(
        len(one.tuning) + sum(map(len, one.trainings.values())) + len(mean_curve(list(one.trainings.values())))
        for (p, _), one in found.items() if p == P
    )
    assert len(lines) == points
    first = next(line for line in lines if line["method"] == "augnet")
    assert (first["curve"], first["plain_trainings"], first["select_score"]) == ("tuning", 1.6, 0.7)


def areas(*tunings: list[tuple[float, float]]) -> list[float | None]:
    """Of rows whose tunings found so much at so many plain trainings, on a budget of 8."""
    made = [row(str(place), seeds(0.5, 0.5)) for place in range(len(tunings))]
    found = {("one", str(place)): Curves(line, 8.0, {}, {}) for place, line in enumerate(tunings)}
    return [figures.area for figures in anytime(made, found, 8.0, None).values()]


def test_one_row_that_diverged_moves_no_other_row_s_mean_where_scores_are_negative() -> None:
    """Row 0 has -1 from the half of the log axis on; before that -2 counts, the middle one of the first finds."""
    half = math.sqrt(8)
    usual = [[(half, -1.0)], [(1.0, -2.0)], [(1.0, -3.0)]]
    assert areas(*usual) == [pytest.approx(-1.5), pytest.approx(-2), pytest.approx(-3)]
    diverged = [*usual[:2], [(1.0, -1e6)]]
    assert areas(*diverged)[:2] == [pytest.approx(-1.5), pytest.approx(-2)]
    assert areas([(half, -1.0)], [(1.0, -1e6)])[0] == pytest.approx(-1), "of two middle ones the higher"


def test_a_late_find_is_worth_no_more_than_an_early_one_and_no_find_no_mean_where_scores_are_negative() -> None:
    early, late, _ = areas([(1.0, -5.0)], [(7.0, -5.0)], [(1.0, -1.0)])
    assert early == late == pytest.approx(-5)
    assert areas([(1.0, -1.0)], [(1.0, -1.0)], [(7.0, -5.0)])[2] == pytest.approx(-5), "though the others' middle is -1"
    assert areas([(1.0, -1.0)], [])[1] is None
    assert areas([(1.0, 0.5)], [(1.0, 0.4)], [(1.0, -1.0)], [])[3] is None, "0 would be better than a find"
    assert areas([(1.0, 0.5)], [])[1] == 0, "of accuracies none is lower"


def test_nothing_found_is_no_better_than_the_worst_find_where_scores_are_negative() -> None:
    """Minus one half at once beats minus one half at seven of eight trainings; with scores above 0 it counts as 0."""
    made = [row("early", seeds(0.5, 0.5)), row("late", seeds(0.5, 0.5))]
    unit = made[0].unit_flops
    assert unit is not None
    for score in (-0.5, 0.5):
        found = {
            ("one", "early"): Curves([(unit, score)], unit, {}, {}),
            ("one", "late"): Curves([(7 * unit, score)], 7 * unit, {}, {}),
        }
        area = {name: figures.area for name, figures in anytime(made, found, 8.0, None).items()}
        assert area["early"] == pytest.approx(score)
        assert area["late"] == pytest.approx(score if score < 0 else score * math.log(8 / 7) / math.log(8))
