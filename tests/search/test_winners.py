"""What is said of the leaders: which differ, which do not, how many seeds it would take, and what a task costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ttest_rel
from statsmodels.stats.power import TTestPower

from search.account import Cost
from search.gains import gains
from search.gains import sentences as gain_sentences
from search.row import Averaging, Row, Verdict
from search.sentences import TOO_FEW, conclusion, conclusions, verdict_text
from search.tables import record
from search.verdicts import judged
from search.winners import pairs, summary, winners
from tests.support.rows import row, seeds
from tracking.record import Stage

SEEDS = 5
NOISE = np.array([0.004, -0.003, 0.001, -0.004, 0.002])


def scored(mean: float, shift: int = 0, scale: float = 1.0) -> dict[int, float]:
    return seeds(*(mean + scale * np.roll(NOISE, shift)).tolist())


def half_width(own: dict[int, float]) -> float:
    """Of the difference from `table`'s control, in points, as scipy has it."""
    found = ttest_rel(list(own.values()), list(scored(0.70).values())).confidence_interval(0.95)
    return 100 * (found.high - found.low) / 2


def table(*more: Row) -> list[Row]:
    return judged([row("plain", scored(0.70), control=True, flops=1.0, tuning=10.0), *more])


def test_the_sentence_that_a_careful_person_would_write() -> None:
    made = table(
        row("augnet", scored(0.762, 1), flops=4.0, tuning=76.0),
        row("descriptor", scored(0.761, 2), flops=1.0, tuning=1.0), row("bad", scored(0.60, 3)),
    )
    said = summary(made)
    halves = {name: half_width(scored(mean, shift)) for name, mean, shift in (("a", 0.762, 1), ("d", 0.761, 2))}
    assert said[0] == (
        f"one: augnet (by 6.2 +- {halves['a']:.1f} points) and descriptor (by 6.1 +- {halves['d']:.1f} points) beat "
        "plain, the best control."
    )
    assert said[1] == "one: worse than plain: bad."
    assert said[2].startswith("one: augnet and descriptor are not distinguishable at 5 seeds; a true difference")
    assert said[3] == "one: for one more task (tuning and one training), descriptor costs 1/40 of augnet."
    assert len(said) == 4


def test_leaders_that_differ_are_told_apart_whatever_their_order() -> None:
    for names in (("a", "b"), ("b", "a")):
        means = {"a": 0.80, "b": 0.78}
        said = summary(table(*(row(name, scored(means[name], 1 + (name == "b"))) for name in names)))
        assert any(line.startswith("one: of these, a is better than b (by 2.0 points, p =") for line in said)
        assert not any("distinguishable" in line for line in said)


def test_a_replay_that_differs_alone_is_named() -> None:
    """Of what was found, trained anew, where the search itself was not found to differ; else it would be said twice."""
    def replay(of: str, mean: float) -> Row:
        return replace(row(of, scored(mean, 2)), way=Stage.REPLAY)

    up = summary(table(row("a", scored(0.70, 1)), replay("a", 0.76)))
    assert up[0] == "one: no method was found to be better than the best control, plain, at 70.0 [69.6, 70.4] %."
    half = half_width(scored(0.76, 2))
    by = f"(by 6.0 +- {half:.1f} points)"
    assert up[1] == f"one: better than plain as a replay, and not as a search: a (replay) {by}."
    down = summary(table(row("a", scored(0.70, 1)), replay("a", 0.60)))
    half = half_width(scored(0.60, 2))
    worse = f"one: worse than plain as a replay, and not as a search: a (replay) (by 10.0 +- {half:.1f} points)."
    assert worse in down, "by how much it is worse, not by minus as much"
    both = summary(table(row("a", scored(0.76, 1)), replay("a", 0.76)))
    assert not any("replay" in line for line in both)


def test_one_leader_and_none() -> None:
    alone = summary(table(row("a", scored(0.76, 1))))
    half = half_width(scored(0.76, 1))
    assert alone[0] == f"one: a alone beats plain, the best control, by 6.0 +- {half:.1f} points."
    none = summary(table(row("a", scored(0.70, 1))))
    assert none[0] == "one: no method was found to be better than the best control, plain, at 70.0 [69.6, 70.4] %."
    gaps = 100 * (np.array(list(scored(0.70, 1).values())) - np.array(list(scored(0.70).values())))
    least = TTestPower().solve_power(nobs=5, alpha=0.05, power=0.8) * gaps.std(ddof=1)
    assert none[1] == (
        f"one: no difference from plain found: a; only true differences of about {least:.1f} points would have been "
        "found in four of five such sweeps."
    )
    assert len(none) == 2
    assert summary([]) == [] and summary([row("a", seeds(0.5, 0.6))]) == []


def test_pairs_are_paired_tests_with_holm_over_the_pairs_of_leaders() -> None:
    made = table(
        row("a", scored(0.80, 1)), row("b", scored(0.79, 2)), row("c", scored(0.785, 3)), row("d", scored(0.7))
    )
    assert [one.method for one in winners(made)] == ["a", "b", "c"]
    found = {(pair.a.method, pair.b.method): pair for pair in pairs(made)}
    assert set(found) == {("a", "b"), ("a", "c"), ("b", "c")}
    by = {one.method: list(one.scores[Averaging.NONE].values()) for one in made}
    raw = {key: float(ttest_rel(by[key[0]], by[key[1]]).pvalue) for key in found}
    for (key, p), rank in zip(sorted(raw.items(), key=lambda kv: kv[1]), (3, 2, 1), strict=True):
        assert found[key].test.p == pytest.approx(p)
        assert found[key].p_holm >= min(1.0, rank * p) - 1e-12
    least = min(raw, key=lambda key: raw[key])
    assert found[least].p_holm == pytest.approx(min(1.0, 3 * raw[least]))


def claims(gap: float, sweeps: int, seed: int) -> float:
    """Share of sweeps in which two searches of one true score, `gap` above the control's, are told apart."""
    generator, wrong = np.random.default_rng(seed), 0
    for _ in range(sweeps):
        noise = generator.normal(0.0, 0.01, (3, SEEDS))
        made = judged([
            row("plain", seeds(*(0.7 + noise[0])), control=True), row("a", seeds(*(0.7 + gap + noise[1]))),
            row("same", seeds(*(0.7 + gap + noise[2]))),
        ])
        wrong += any(pair.p_holm <= 0.05 for pair in pairs(made))
    return wrong / sweeps


@pytest.mark.slow
def test_the_same_method_under_two_names_is_no_difference() -> None:
    """Both far above the control: told apart in 5 % of sweeps, as stated; both equal to it: the first gate holds, too.

    2,000 sweeps: the share has a standard error of .5 %, and the bounds are four of them; a seed outside 1 in 16,000.
    """
    assert abs(claims(0.2, 2000, 0) - 0.05) < 0.02
    assert claims(0.0, 2000, 1) < 0.02


def test_twenty_repeats_of_a_null_comparison() -> None:
    """Twenty sweeps of one method under two names: at 5 % each, more than four claims come in .3 % of such draws.

    The control of the test: two methods that do differ are told apart in most.
    """
    assert claims(0.2, 20, 2) * 20 <= 4
    generator, found = np.random.default_rng(3), 0
    for _ in range(20):
        noise = generator.normal(0.0, 0.01, (3, SEEDS))
        made = judged([
            row("plain", seeds(*(0.7 + noise[0])), control=True), row("a", seeds(*(0.95 + noise[1]))),
            row("b", seeds(*(0.90 + noise[2]))),
        ])
        found += any(pair.p_holm <= 0.05 for pair in pairs(made))
    assert found >= 15


def test_how_many_seeds_it_would_take_is_what_the_power_of_the_test_says() -> None:
    made = table(row("a", scored(0.80, 1)), row("b", scored(0.799, 2)))
    (pair,) = pairs(made)
    effect = abs(pair.test.difference.mean) / pair.test.sd
    expected = int(np.ceil(TTestPower().solve_power(effect_size=effect, alpha=0.05, power=0.8)))
    assert pair.needed == expected
    assert summary(made)[1].endswith(f"would take about {expected:,} seeds.")


def test_accuracies_that_differ_by_more_than_all_are_not_promised() -> None:
    """Two seeds that scatter by twenty points: 170 points would be needed, and there are a hundred."""
    made = judged([row("plain", seeds(0.5, 0.9), control=True), row("a", seeds(0.8, 0.6))])
    assert summary(made)[1] == f"one: no difference from plain found: a; {TOO_FEW}."
    assert conclusion(made[1]).endswith(f"{TOO_FEW}.")


def test_rows_whose_noise_hides_everything_are_told_apart_from_those_where_something_could_be_seen() -> None:
    """Differences of .7 to one side and .3 to the other: more than a hundred points would have to lie between."""
    wild = row("wild", seeds(0.0, 1.0, 0.9, 0.0, 1.0))
    said = [line for line in summary(table(row("near", scored(0.70, 1)), wild)) if "no difference" in line]
    assert len(said) == 2 and said[1] == f"one: no difference from plain found: wild; {TOO_FEW}."
    assert said[0].startswith("one: no difference from plain found: near; only true differences of about")
    unbounded = [replace(one, accuracy=False) for one in table(row("near", scored(0.70, 1)), wild)]
    (together,) = [line for line in summary(unbounded) if "no difference" in line]
    assert "near and wild; only true differences" in together, "scores have no hundred points"


def test_a_verdict_over_fewer_pairs_than_planned_says_over_which() -> None:
    """Five seeds each, of which they share three or four."""
    def missing(name: str, mean: float, *gone: int) -> Row:
        kept = {seed: score for seed, score in scored(mean, 1).items() if seed not in gone}
        return replace(row(name, kept), planned_seeds=SEEDS)

    made = table(missing("a", 0.80, 1, 2), row("b", scored(0.90, 2)), missing("bad", 0.50, 5), missing("same", 0.70, 1))
    said = summary(made)
    assert " on the 3 seeds that both have) beat plain" in said[0]
    assert "seeds that both have" not in said[0].split(" and ")[0], "b has all of them"
    assert said[1] == "one: worse than plain: bad (on the 4 seeds that both have)."
    assert any("b is better than a (by 10." in line and "on the 3 seeds that both have, p" in line for line in said)
    assert any("found: same (on the 4 seeds that both have); only" in line for line in said)
    by = {one.method: conclusion(one) for one in made}
    assert "] on the 3 seeds that both have, p" in by["a"] and "seeds" not in by["b"]
    assert "no difference found on the 4 seeds that both have (" in by["same"]
    cells = {one.method: verdict_text(one) for one in made}
    assert cells["b"] == "better (+20.0)" and cells["a"].endswith(" on 3 common seeds)")
    assert {one.method: record(one)["pairs"] for one in made} == {"plain": None, "a": 3, "b": 5, "bad": 4, "same": 4}
    found = gains(made, {"a": "plain", "bad": "plain"})
    (gained,) = gain_sentences(found)
    assert " over plain on the 3 seeds that both have, the same space" in gained
    hidden = gain_sentences([replace(one, row=replace(one.row, verdict=Verdict.EQUAL)) for one in found])
    assert "worse than plain: bad on the 4 seeds that both have; over all rows" in hidden[1]


def test_only_what_beats_the_control_leads() -> None:
    made = table(row("a", scored(0.70, 2)), row("b", scored(0.80, 1)))
    assert {one.method: one.verdict for one in made}["a"] is Verdict.EQUAL
    assert [one.method for one in winners(made)] == ["b"]


def test_what_is_told_the_answer_is_no_winner_and_is_said_to_be_a_bound() -> None:
    """The same scores without being told lead: the control of the test."""
    def made(bound: bool) -> list[Row]:
        told = replace(row("oracle", scored(0.90, 1), flops=1.0, tuning=1.0), bound=bound)
        wrong = replace(row("wrong", scored(0.60, 2)), bound=bound)
        idle = replace(row("idle", scored(0.70, 2)), bound=bound)
        return table(told, wrong, idle, row("a", scored(0.80, 3), flops=4.0, tuning=76.0))

    assert [one.method for one in winners(made(False))] == ["oracle", "a"]
    assert [one.method for one in winners(made(True))] == ["a"] and not pairs(made(True))
    by = {name: half_width(scored(mean, shift)) for name, mean, shift in (("oracle", 0.9, 1), ("wrong", 0.6, 2))}
    said = summary(made(True))
    assert said[0].startswith("one: a alone beats plain")
    assert said[1:] == [
        "one: told what to vary, and so bounds: "
        f"oracle (better than plain by 20.0 +- {by['oracle']:.1f} points), "
        f"wrong (worse than plain by 10.0 +- {by['wrong']:.1f} points) and idle (no difference from plain found)."
    ]
    assert any("oracle (bound) is better than the best control" in line for line in conclusions(made(True)))
    alone = made(True)[:-1]
    assert summary(alone) == [], "nothing else is there to be told apart"
    assert not any("no method was found" in line for line in conclusions(alone))


def test_seeds_that_many_rows_lack_are_said_once() -> None:
    """Five rows without the last two seeds, one with all; of one row alone it is said beside its name, see above."""
    def short(name: str, mean: float, shift: int) -> Row:
        kept = {seed: score for seed, score in scored(mean, shift).items() if seed <= 3}
        return replace(row(name, kept), planned_seeds=SEEDS)

    made = table(
        short("same", 0.70, 1), short("alike", 0.70, 2), row("whole", scored(0.70, 3)),
        short("best", 0.90, 1), short("second", 0.80, 2), short("third", 0.75, 3), short("bad", 0.50, 1),
        short("worst", 0.40, 2),
    )
    said = summary(made)
    assert all(line.count("seeds that both have") <= 1 for line in said)
    assert said[0].endswith(" beat plain, the best control (each on the 3 seeds that both have).")
    assert "one: worse than plain: bad and worst (each on the 3 seeds that both have)." in said
    assert any("found: whole; and same and alike (each on the 3 seeds that both have); only" in line for line in said)
    assert any(line.endswith("after Holm); each on the 3 seeds that both have.") for line in said)


def test_a_study_that_failed_is_named_with_what_it_has_cost() -> None:
    gone = replace(row("git", {}), total=Cost(36.4), reason="no trial could reach its horizon")
    said = summary(table(row("a", scored(0.70, 1)), gone, row("to come", {})))
    assert said[-1] == "one: failed, and so without a result: git (which has cost 36.4 plain trainings)."


@pytest.mark.parametrize(("times", "said"), [(1.6, "1.6"), (23.4, "23"), (114.0, "110"), (12345.0, "12,000")])
def test_how_much_less_a_task_costs_is_no_power_of_ten(times: float, said: str) -> None:
    made = table(row("a", scored(0.80, 1), flops=times), row("b", scored(0.80, 2), flops=1.0))
    assert summary(made)[-1].endswith(f"b costs 1/{said} of a.")
