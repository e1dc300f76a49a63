"""What a search gains over the same space without a search."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ttest_rel

from search.gains import gains, records, sentences
from search.plan import plan
from search.row import Verdict
from search.runner import _random_controls
from search.study import Comparison
from search.verdicts import judged
from tests.support.journals import journal
from tests.support.rows import row, seeds

RANDOM = seeds(0.70, 0.72, 0.69, 0.71)
BETTER = seeds(0.80, 0.81, 0.80, 0.82)
CONTROLS = {"unrolled": "random_policy", "worse": "random_policy", "lost": "nowhere"}


def test_the_paired_difference_and_its_share_of_the_random_score() -> None:
    made = [row("random_policy", RANDOM, True), row("unrolled", BETTER), row("alone", BETTER), row("lost", BETTER)]
    (found,) = gains(made, CONTROLS)
    own, drawn = np.array(list(BETTER.values())), np.array(list(RANDOM.values()))
    assert found.test.difference.mean == pytest.approx((own - drawn).mean())
    assert found.p_holm == pytest.approx(float(ttest_rel(own, drawn).pvalue))
    assert found.relative == pytest.approx(100 * (own.mean() - drawn.mean()) / drawn.mean())
    (line,) = records([found])
    assert (line["method"], line["random_control"], line["seeds"]) == ("unrolled", "random_policy", 4)


def test_gains_losses_and_nothing_are_said() -> None:
    more, less = seeds(0.91, 0.92, 0.90, 0.92), seeds(0.70, 0.70, 0.70, 0.71)
    made = [row("random_policy", BETTER, True), row("unrolled", more), row("worse", less)]
    said = sentences(gains(made, CONTROLS))
    assert said[0].startswith("one: unrolled gains 10.5 points [9.6, 11.4] over random_policy, the same space")
    assert said[1] == "one: of the searches alone (a family of tests of its own), worse than random_policy: worse."
    same = [row("random_policy", RANDOM, True), row("unrolled", seeds(0.71, 0.71, 0.70, 0.70))]
    assert "no search was found to gain anything" in sentences(gains(same, CONTROLS))[0]
    assert sentences([]) == []


@pytest.mark.parametrize(("control", "verdict", "said"), [
    (Verdict.CONTROL, Verdict.WORSE, False), (Verdict.CONTROL, Verdict.EQUAL, True),
    (Verdict.EQUAL, Verdict.WORSE, True),
])
def test_a_loss_is_left_out_only_where_the_row_is_called_worse_than_that_control(
    control: Verdict, verdict: Verdict, said: bool
) -> None:
    """The last: worse than another control, which says nothing of the random one."""
    random = replace(row("random_policy", BETTER, True), verdict=control)
    made = [random, replace(row("worse", RANDOM), verdict=verdict)]
    alone = "one: of the searches alone (a family of tests of its own), worse than random_policy: worse."
    assert sentences(gains(made, CONTROLS)) == ([alone] if said else [])


def test_a_loss_of_the_searches_alone_is_said_where_all_rows_together_hide_it() -> None:
    """One loss of p = .0086; ten more rows that differ by noise raise it above 5 % over all rows, but not alone."""
    drawn = seeds(0.80, 0.81, 0.80, 0.82, 0.81)
    lost = {seed: score - gap for (seed, score), gap in zip(drawn.items(), (0.01, 0.02, 0.03, 0.02, 0.01), strict=True)}
    noise = [
        row(f"row {n}", {seed: drawn[seed] - 0.001 * (1 + seed * n % 7) * (-1) ** (seed + n) for seed in drawn})
        for n in range(10)
    ]
    made = judged([row("random_policy", drawn, True), row("worse", lost), *noise])
    (found,) = gains(made, CONTROLS)
    assert found.p_holm == pytest.approx(0.00858, abs=1e-5) and found.row.verdict is Verdict.EQUAL
    assert sentences([found]) == [
        "one: of the searches alone (a family of tests of its own), worse than random_policy: worse; over all rows, a "
        "larger family of tests, that was not found."
    ]


def test_a_gain_over_another_control_than_the_best_says_what_was_found_of_the_best() -> None:
    best = row("trivial", {seed: score + 0.1 * (-1) ** seed for seed, score in BETTER.items()}, True)
    made = judged([replace(best), row("random_policy", RANDOM, True), row("unrolled", BETTER)])
    (found,) = gains(made, CONTROLS)
    assert found.row.verdict is Verdict.EQUAL
    assert sentences([found])[0].endswith("after Holm); from trivial, the best control, no difference was found.")
    beats = judged([row("random_policy", RANDOM, True), row("unrolled", BETTER)])
    assert sentences(gains(beats, CONTROLS))[0].endswith("after Holm).")


def test_every_search_is_held_against_the_control_of_its_own_space() -> None:
    more = seeds(0.91, 0.92, 0.90, 0.92)
    made = [
        replace(row("wide", BETTER, True), verdict=Verdict.CONTROL), row("narrow", BETTER, True),
        row("gains", more), row("loses", RANDOM), row("same", seeds(0.80, 0.82, 0.80, 0.81)),
    ]
    said = sentences(gains(made, {"gains": "wide", "loses": "narrow"}))
    assert said[0].startswith("one: gains gains 10.5 points [9.6, 11.4] over wide,")
    assert said[1:] == ["one: of the searches alone (a family of tests of its own), worse than narrow: loses."]
    said = sentences(gains(made, {"gains": "wide", "same": "narrow"}))
    assert said[1:] == ["one: no search was found to gain anything over narrow, its space without a search."]


def test_a_share_is_of_a_score_above_zero_only() -> None:
    nothing = [row("random_policy", seeds(0.0, 0.0, 0.0), True), row("unrolled", seeds(0.5, 0.6, 0.5))]
    (found,) = gains(nothing, CONTROLS)
    assert found.relative is None and found.test.difference.mean == pytest.approx(1.6 / 3)
    below = [row("random_policy", seeds(-1.0, -1.1), True), row("unrolled", seeds(-0.5, -0.5))]
    assert gains(below, CONTROLS)[0].relative is None


def test_pairs_are_of_common_seeds_and_of_two_at_least() -> None:
    assert gains([row("random_policy", {1: 0.7, 2: 0.7}, True), row("unrolled", {3: 0.8, 4: 0.9})], CONTROLS) == []
    assert gains([row("random_policy", {1: 0.7}, True), row("unrolled", {1: 0.8})], CONTROLS) == []


def test_a_comparison_knows_which_rows_draw_from_the_space_of_which() -> None:
    methods = ["plain", "random_policy", "unrolled", "pba", "uniform_policy", "augnet"]
    comparison = Comparison.model_validate({
        "problems": [{"label": "d", "source": {"name": "digits"}}],
        "methods": [*({"name": name} for name in methods), {"name": "unrolled", "label": "two"}],
    })
    assert _random_controls(comparison) == dict.fromkeys(["unrolled", "pba", "two"], "random_policy")
    narrow = Comparison.model_validate({
        "problems": [{"label": "d", "source": {"name": "digits"}}],
        "methods": [
            {"name": "random_policy", "settings": {"operations": ["rotation"]}, "label": "turns"},
            {"name": "unrolled"}, {"name": "random_policy"},
        ],
    })
    assert _random_controls(narrow) == {"unrolled": "random_policy"}, "the other draws from another space"
    without = comparison.model_copy(update={"methods": comparison.methods[2:]})
    assert _random_controls(without) == {}


def test_a_journal_without_them_has_no_gains() -> None:
    assert plan(journal()).random_controls == {}
