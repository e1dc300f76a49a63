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
    best = [replace(made[0], verdict=Verdict.CONTROL), *made[1:]]
    assert len(sentences(gains(best, CONTROLS))) == 1, "against the best control that is said already, over all rows"
    assert said[1] == "one: of the searches alone (a family of tests of its own), worse than random_policy: worse."
    same = [row("random_policy", RANDOM, True), row("unrolled", seeds(0.71, 0.71, 0.70, 0.70))]
    assert "no search was found to gain anything" in sentences(gains(same, CONTROLS))[0]
    assert sentences([]) == []


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
