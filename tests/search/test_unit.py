"""The plain training that budgets are counted in trains as the comparison's plain row does."""

from __future__ import annotations

from typing import Any

import pytest

from search import recipes
from search.estimate import estimate
from search.study import Comparison
from search.timed_probe import Measured
from tests.support.simulation import Simulation, comparison
from trainables.assignment import Assignment
from trainables.methods import plain

DEFAULT = plain.Config().model_dump(mode="json")


def rows(*methods: dict[str, Any]) -> Comparison:
    return Comparison.model_validate({**comparison().model_dump(mode="json"), "methods": list(methods)})


@pytest.mark.parametrize(
    ("methods", "changed"),
    [
        ([{"name": "plain", "settings": {"batch_size": 128}}], {"batch_size": 128}),
        ([{"name": "plain"}, {"name": "plain", "label": "large", "settings": {"batch_size": 128}}], {}),
        ([{"name": "plain", "label": "large", "settings": {"batch_size": 128}}], {}),
        ([{"name": "augnet", "settings": {"batch_size": 128}}], {}),
        ([{"name": "trivial_augment", "label": "plain", "settings": {"batch_size": 128}}], {}),
        ([{"name": "plain", "settings": {"batch_size": 128, "length": 3.0}}], {"batch_size": 128}),
        ([{"name": "plain", "settings": {"batch_size": 128, "pretrained": {"quality": "quick"}}}], {"batch_size": 128}),
    ],
)
def test_it_has_the_settings_of_the_row_that_is_called_plain(methods: Any, changed: dict[str, Any]) -> None:
    assert rows(*methods).unit() == DEFAULT | changed


def test_the_trial_that_is_asked_has_them() -> None:
    director = Simulation(rows({"name": "plain", "settings": {"batch_size": 128}}), []).director
    asked = director.next()
    assert isinstance(asked, Assignment) and asked.uid.endswith("/unit")
    assert asked.settings == DEFAULT | {"batch_size": 128}


def test_the_estimate_counts_in_them(tmp_path: Any) -> None:
    seen: list[tuple[str, Any]] = []

    def measured(comparison: Comparison, problem: Any, name: str, settings: dict[str, Any], cache: Any) -> Measured:
        seen.append((name, settings))
        raise RuntimeError("enough")

    estimate(rows({"name": "plain", "settings": {"batch_size": 128}}), 1, tmp_path, measured_by=measured)
    assert seen and all(settings["batch_size"] == 128 for _, settings in seen)


def test_the_large_recipe_counts_in_batches_of_its_rows() -> None:
    """All of them train on 128: budgets in trainings of 64 would hold half as much as they say."""
    made = Comparison.model_validate(recipes.get("benchmark_cifar10"))
    assert {row.settings["batch_size"] for row in made.methods} == {128} == {made.unit()["batch_size"]}
