"""What the report says, word for word."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from statsmodels.stats.power import TTestPower

from search.analysis import rows
from search.row import Verdict
from search.sentences import (
    conclusion,
    conclusions,
    p_text,
    score_said,
    score_text,
    study_line,
    trials_text,
    truth_text,
    verdict_text,
)
from search.statistics import detectable, estimate
from search.verdicts import judged
from search.words import TRACE
from tests.support.journals import SCORES, Writer, journal
from tests.support.rows import row, seeds
from tracking.record import Stage, Status

ONE = {
    "one": {
        "plain": (0.800, 0.810, 0.820), "trivial_augment": (0.840, 0.850, 0.860),
        "augnet": (0.870, 0.882, 0.891), "unrolled": (0.850, 0.830, 0.880),
    }
}


def said(scores: dict[str, dict[str, tuple[float, ...]]]) -> list[str]:
    return conclusions(rows(journal(scores, replays=())))


def test_better_equal_and_control() -> None:
    _, trivial, augnet, unrolled = said(ONE)
    assert trivial == "one: trivial_augment is the best control, at 85.0 [82.5, 87.5] %."
    assert augnet == (
        "one: augnet is better than the best control (trivial_augment) by 3.1 points [2.9, 3.3], p = 0.001 "
        "after Holm."
    )
    assert unrolled.startswith(
        "one: unrolled and trivial_augment: no difference found at 3 seeds (+0.3 points [-4.8, +5.5], p = "
    )
    gaps = np.array([0.850, 0.830, 0.880]) - np.array([0.840, 0.850, 0.860])
    least = detectable(float(gaps.std(ddof=1)), 3, 0.05 / 3)  # statsmodels' noncentral t gives up at three seeds
    assert least is not None
    effect = gaps.mean() / gaps.std(ddof=1)
    needed = int(np.ceil(TTestPower().solve_power(effect_size=effect, alpha=0.05 / 3, power=0.8)))
    assert unrolled.endswith(
        f"only a true difference of about {100 * least:.1f} points would have been found in four of five such sweeps "
        f"(one as large as this would take about {needed} seeds)."
    )


def test_worse_gives_the_size_of_the_loss() -> None:
    """Lost: 0.030, 0.032, 0.034; t-interval 0.032 -+ 4.303 * 0.002 / sqrt(3)."""
    found = said({"one": {"plain": (0.8, 0.81, 0.85), "augnet": (0.77, 0.778, 0.816)}})
    assert found[1] == (
        "one: augnet is worse than the best control (plain) by 3.2 points [2.7, 3.7], p = 0.0013 after Holm."
    )


def test_what_the_choice_of_the_control_costs_is_named() -> None:
    """Four controls, the best of which is what the others are held against: p counts twice before Holm's four tests."""
    controls = [row(f"c{k}", seeds(0.80, 0.81, 0.80 - k / 1000), True) for k in range(4)]
    below, above = row("below", seeds(0.70, 0.72, 0.703)), row("above", seeds(0.82, 0.85, 0.822))
    *_, first, second = judged([*controls, below, above])
    assert first.contrast is not None and (first.contrast.factor, first.verdict) == (2.0, Verdict.WORSE)
    assert "after Holm and the choice of the control" in conclusion(first)
    assert "after Holm" in conclusion(second) and "choice" not in conclusion(second)


def test_equal_differences_name_their_test() -> None:
    """4 points on each of three seeds: p = 1/4 by the sign-flip test, so nothing is claimed."""
    plain = said(ONE)[0]
    assert "no difference found at 3 seeds (-4.0 points [-4.0, -4.0]" in plain
    assert "by the sign-flip test since all seeds differ alike" in plain


def test_the_same_scores_are_called_the_same() -> None:
    found = said({"one": {"plain": (0.8, 0.9), "augnet": (0.8, 0.9)}})
    assert found[1] == "one: augnet and plain: no difference found at 2 seeds (the scores are the same on every seed)."
    assert found[2] == "one: no method was found to be better than the best control."


def test_without_a_control_that_is_what_is_said() -> None:
    found = said({"one": {"augnet": (0.8, 0.9), "unrolled": (0.7, 0.6)}})
    assert found[0].endswith("not compared: no control has a result.")


def test_one_seed_is_said_to_be_one_seed() -> None:
    found = said({"one": {"plain": (0.8,), "augnet": (0.9,)}})
    short = "1 seed, and it takes two in common with a control"
    assert found[1] == f"one: augnet: 90.0 % (one seed); not compared: {short}."


def test_a_negative_result_is_a_result() -> None:
    lines = said({"which-rotation": SCORES["which-rotation"]})
    assert lines[-1] == "which-rotation: no method was found to be better than the best control."
    assert not any(line.endswith("found to be better than the best control.") for line in said(ONE))


def test_what_a_study_got() -> None:
    row = next(r for r in rows(journal()) if r.method == "augnet")
    assert study_line(row) == (
        "digits-rotated, augnet: 4 trials: 2 complete, 1 stopped early, 1 cut by the budget; tuning spent 4.48 "
        "plain trainings."
    )


def test_failures_are_named_in_the_count() -> None:
    writer = Writer()
    writer.begin(["one"], ["plain"], 1, {})
    writer.trial("one", "plain", Stage.TUNE, 0, 10, status=Status.FAILED, reason="no")
    (row,) = rows(writer.events)
    assert trials_text(row) == "1 trial: 1 failed"
    assert study_line(row).endswith("no plain training was measured.")


def test_scores_in_percent_or_as_they_are() -> None:
    one = estimate((0.5,))
    assert score_text(one, accuracy=True) == "50.0 (one seed)"
    assert score_text(one, accuracy=False) == "0.500 (one seed)"
    assert score_text(None, accuracy=True) == "-"
    assert score_said(one, accuracy=True) == "50.0 % (one seed)"
    assert score_said(one, accuracy=False) == "0.500 (one seed)"
    assert score_said(None, accuracy=True) == "-"


def test_truths_with_units() -> None:
    made = {r.problem: r for r in rows(journal())}
    helps, nothing = made["digits-rotated"].invariances
    assert truth_text(helps) == "rotation: helps up to 60 deg"
    assert truth_text(nothing) == "brightness: nothing planted"
    assert truth_text(made["which-rotation"].invariances[0]) == "rotation: harms from 40 deg"


def test_p_values_are_not_called_zero() -> None:
    assert p_text(0.0) == "p < 0.001"
    assert p_text(0.0312) == "p = 0.031"


def test_why_there_is_no_result_is_told_with_what_was_given_and_its_hint() -> None:
    """A rule alone helps nobody; a traceback helps nobody here."""
    error = "UserError: a rule\n  got:  3\n  hint: give 2"
    told = "a rule (got: 3; hint: give 2)"
    writer = Writer()
    writer.begin(["one"], ["plain", "augnet"], 1, {"one": None})
    writer.trial("one", "budget-unit", Stage.UNIT, 0, 100)
    writer.trial("one", "plain", Stage.RERUN, 1, 100, status=Status.FAILED, reason=f"{error}{TRACE}:\n  line 1")
    writer.done("one", "augnet", "failed", error)
    text = "\n".join(conclusions(rows(writer.events)))
    assert f"no result; UserError: {told}" in text and f"the study failed: UserError: {told}" in text
    assert "line 1" not in text


def test_the_cell_of_a_row_without_a_score_says_why_there_is_none() -> None:
    writer = Writer()
    writer.begin(["one"], ["plain", "waiting", "broken"], 2, {})
    for seed in (1, 2):
        writer.trial("one", "plain", Stage.RERUN, seed, 10, extra={"test/score": 0.8})
    writer.trial("one", "broken", Stage.RERUN, 1, 10, status=Status.FAILED, reason="x")
    plain, waiting, broken = rows(writer.events)
    cells = [verdict_text(one) for one in (plain, waiting, broken, replace(waiting, reason="x"))]
    assert cells == ["best control", "no seed yet", "no result", "failed"]
