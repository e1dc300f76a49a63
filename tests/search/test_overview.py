"""All problems together, on tables that can be ranked by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scipy.stats import trim_mean

from search.account import Cost
from search.by_problem import by_problem
from search.overview import overall, records, sentences
from search.page import overall_table
from search.row import Row, Verdict
from tests.support.rows import row, seeds


def table(**scores: tuple[float, float]) -> list[Row]:
    return [
        row(method, seeds(mean - 0.01, mean, mean + 0.01), method == "plain", problem=problem)
        for problem, place in (("p", 0), ("q", 1)) for method, mean in ((m, s[place]) for m, s in scores.items())
    ]


def test_ranks_and_interquartile_means_by_hand() -> None:
    made = table(plain=(0.5, 0.6), a=(0.9, 0.5), b=(0.7, 0.9))
    found = {one.method: one for one in overall(made)}
    assert {name: one.rank for name, one in found.items()} == {"b": 1.5, "a": 2.0, "plain": 2.5}
    assert [one.method for one in overall(made)] == ["b", "a", "plain"]
    for name, means in {"plain": (0.5, 0.6), "a": (0.9, 0.5), "b": (0.7, 0.9)}.items():
        middle = found[name].middle
        assert middle is not None and middle.low is not None and middle.high is not None
        values = [mean + step for mean in means for step in (-0.01, 0.0, 0.01)]
        assert middle.mean == pytest.approx(float(trim_mean(values, 0.25)))
        assert middle.low <= middle.mean <= middle.high
    assert overall(made) == overall(made), "the bootstrap has a seed of its own"


def test_verdicts_are_counted_and_said() -> None:
    made = [
        replace(one, verdict=Verdict.BETTER) if (one.method, one.problem) in {("a", "p"), ("b", "q")}
        else replace(one, verdict=Verdict.WORSE) if (one.method, one.problem) == ("a", "q") else one
        for one in table(plain=(0.5, 0.6), a=(0.9, 0.5), b=(0.7, 0.9))
    ]
    said = sentences(overall(made))
    assert said == [
        "Over the 2 problems on which all methods have scores, b has the best mean rank (1.5 of 3; "
        "ranks of means, without a test).",
        "Better than the best control: b on 1 of 2 and a on 1 of 2 problems.",
        "Searches worse than the best control: a on 1 of 2 problems.",
    ]
    assert {line["method"]: line["better_than_best_control"] for line in records(overall(made))} == {
        "a": 1, "b": 1, "plain": 0,
    }


def test_a_problem_that_a_method_lacks_is_in_no_rank() -> None:
    made = table(plain=(0.5, 0.9), a=(0.9, 0.5))[:3]  # `a` has no row on q
    found = {one.method: one for one in overall(made)}
    assert (found["a"].rank, found["plain"].rank, found["a"].problems) == (1.0, 2.0, 1)
    assert found["a"].middle is None and found["plain"].middle is not None, "its mean would be that of the easy ones"
    assert sentences(overall(made))[0].startswith("Over the 1 problem on which all methods have scores")


def test_ties_are_all_named() -> None:
    said = sentences(overall(table(a=(0.5, 0.6), b=(0.6, 0.5))))[0]
    assert "a and b share the best mean rank (1.5 of 2; ranks" in said


def test_scores_of_unlike_units_have_ranks_and_no_mean() -> None:
    made = [replace(one, accuracy=one.problem == "p") for one in table(plain=(0.5, 0.6), a=(0.9, 0.5))]
    assert all(one.middle is None and one.rank == 1.5 for one in overall(made))


def test_one_problem_and_none_are_no_overview() -> None:
    assert overall([one for one in table(plain=(0.5, 0.6)) if one.problem == "p"]) == []
    assert overall([]) == [] and sentences([]) == []


def test_a_bound_has_no_rank_and_is_named_as_one() -> None:
    rivals = table(plain=(0.5, 0.6), a=(0.9, 0.5))
    told = [replace(one, bound=True, verdict=Verdict.BETTER) for one in table(oracle=(0.95, 0.9))]
    found = {one.label: one for one in overall([*rivals, *told])}
    assert {name: one.rank for name, one in found.items()} == {"plain": 1.5, "a": 1.5, "oracle (bound)": None}
    assert found["oracle (bound)"].middle is not None, "its scores are shown"
    said = sentences(overall([*rivals, *told]))
    assert said == [
        *sentences(overall(rivals)),
        "Told what to vary, and so a bound without a rank: oracle (better than the best control on 2 of 2 problems, "
        "worse on 0).",
    ]
    assert [line["method"] for line in records(overall([*rivals, *told])) if line["bound"]] == ["oracle"]
    big = by_problem([*rivals, *told])
    assert big is not None and [line[0] for line in big.lines] == ["plain", "a", "oracle (bound)"]


def test_a_method_without_any_score_is_named_and_its_cost_is_what_it_spent() -> None:
    gone = [
        replace(row("git", {}, problem=problem), total=Cost(spent), reason="no") for problem, spent in
        (("p", 36.0), ("q", 74.0))
    ]
    made = [*table(plain=(0.5, 0.6), a=(0.9, 0.7)), *gone, row("idle", {}, problem="p")]
    assert sentences(overall(made))[0].startswith(
        "Over the 2 problems on which all methods have scores, but for git and idle, which have none, a has the best"
    )
    found = {one.method: one for one in overall(made)}
    assert (found["git"].cost, found["idle"].cost) == (55.0, None)
    big = by_problem(made)
    assert big is not None and ["git", "failed", "failed", "-", "55.0"] in big.lines
    assert ["git", "-", "-", "-", "-", "55.0"] in overall_table(overall(made)).lines


def test_nobody_is_first_of_one() -> None:
    made = [*table(a=(0.5, 0.6)), row("git", {}, problem="p"), row("git", {}, problem="q")]
    assert sentences(overall(made)) == [] and all(one.rank is None for one in overall(made))
