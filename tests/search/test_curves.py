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
