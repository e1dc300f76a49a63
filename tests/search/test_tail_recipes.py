"""The recipes of long tails say what the sheet says: cutoff, delay, planted and wrong nuisances."""

from __future__ import annotations

from typing import Any

import pytest

from search import recipes
from search.study import Comparison
from search.tail_parts import DELAY, NUISANCES, SMALL
from trainables.problems.long_tailed import Config as LongTailed
from trainables.problems.tails import tail_sizes

TRANSFERS = ("git", "git-all", "trivial-tail", "oracle-tail", "wrong-tail")


def rows(recipe: str) -> dict[str, Any]:
    """Every row's validated configuration, by label."""
    made = Comparison.model_validate(recipes.get(recipe))
    return {spec.key: spec.config_class().model_validate(spec.settings) for spec in made.methods}


@pytest.mark.parametrize("nuisance", NUISANCES)
def test_the_cutoff_is_active_and_all_of_the_tail_waits_alike(nuisance: str) -> None:
    """The published code's cutoff never acted: only `git-all` may be without one."""
    found = rows(f"git_{nuisance}")
    assert {label: found[label].cutoff for label in TRANSFERS} == {
        label: None if label == "git-all" else SMALL for label in TRANSFERS
    }
    for label in TRANSFERS:
        assert found[label].start == DELAY == found[label].imbalance.delay
        assert found[label].imbalance.sampling == "balanced"


@pytest.mark.parametrize(("recipe", "learners"), [
    *((f"git_{nuisance}", {"augnet", "descriptor"}) for nuisance in NUISANCES), ("git_cifar10", {"augnet"}),
])
def test_learners_are_trained_by_the_rule_of_the_rows_that_they_are_compared_with(
    recipe: str, learners: set[str]
) -> None:
    found = rows(recipe)
    assert learners == found.keys() & {"augnet", "descriptor"}
    for label in learners:
        assert found[label].imbalance == found["drs"].imbalance == found["git"].imbalance
    assert recipe != "git_cifar10" or {one.batch_size for one in found.values()} == {128}


@pytest.mark.parametrize("nuisance", NUISANCES)
def test_the_oracle_is_told_what_is_planted_and_the_wrong_row_something_else(nuisance: str) -> None:
    found = rows(f"git_{nuisance}")
    (problem, *_) = Comparison.model_validate(recipes.get(f"git_{nuisance}")).problems
    assert found["oracle-tail"].ranges == problem.wrappers[0]["ranges"] == NUISANCES[nuisance]
    assert not set(found["wrong-tail"].ranges) & set(NUISANCES[nuisance])


def test_turns_are_learned_by_the_spatial_generator_alone() -> None:
    kinds = {nuisance: rows(f"git_{nuisance}")["git"].generator.kind for nuisance in NUISANCES}
    assert kinds == {"background": "style", "stroke": "style", "rotation": "spatial", "tilt": "spatial"}


@pytest.mark.parametrize(("recipe", "expected"), [
    ("tails_zipf", [4800, 1200, 533, 300, 192, 133, 97, 75, 59, 48]),  # the first ten of K49-LT
    ("tails", [1500, 838, 468, 262, 146, 81, 45, 25, 14, 8]),
])
def test_sizes_are_those_of_the_sheet_in_three_orders(recipe: str, expected: list[int]) -> None:
    problems = Comparison.model_validate(recipes.get(recipe)).problems
    _, (tail,) = problems[0].parts()
    assert isinstance(tail, LongTailed) and tail.largest is not None
    assert tail_sizes(tail.tail, 10, tail.largest, tail.ratio, tail.exponent, tail.least) == expected
    assert {problem.wrappers[0]["order"] for problem in problems} == {0, 1, 2}
