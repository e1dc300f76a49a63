"""What of a row is tuned: the method's space without what is fixed, and without what nothing reads."""

from __future__ import annotations

from typing import Any

import pytest

from search.method_spec import MethodSpec
from spaces.policies import Policy, PolicyEntry
from spaces.transforms import Operation
from trainables import plugins
from trainables.modules.recipe import RECIPE_DOMAINS

RECIPE = tuple(RECIPE_DOMAINS)
TURN = Policy(entries=(PolicyEntry(operation=Operation.ROTATION, weight=0.5),)).model_dump()


@pytest.mark.parametrize(("name", "settings", "tuned"), [
    ("implicit", {}, (*RECIPE, "outer_learning_rate", "alpha")),
    ("implicit", {"products": 3}, (*RECIPE, "outer_learning_rate", "alpha")),
    ("implicit", {"solver": "conjugate_gradient"}, (*RECIPE, "outer_learning_rate")),
    ("implicit", {"solver": "conjugate_gradient", "weight_decay": 0.0}, ("learning_rate", "outer_learning_rate")),
    ("implicit", {"policy": TURN}, RECIPE),
    ("fast_autoaugment", {}, (*RECIPE, "kept")),
    ("fast_autoaugment", {"policy": TURN}, RECIPE),
    ("faster_autoaugment", {"policy": TURN}, RECIPE),
    ("fixed_policy", {"operations": ["rotation", "contrast"]}, (
        *RECIPE, "identity_weight", "rotation_weight", "rotation_bound", "contrast_weight", "contrast_bound",
    )),
])
def test_what_nothing_reads_is_not_tuned(name: str, settings: dict[str, Any], tuned: tuple[str, ...]) -> None:
    row = MethodSpec(name=name, settings=settings)
    assert row.space().names == tuned
    assert set(row.defaults()) == set(tuned)


@pytest.mark.parametrize("name", ["implicit", "fixed_policy", "unrolled", "plain", "score_function"])
def test_without_settings_the_whole_space_is_tuned(name: str) -> None:
    assert MethodSpec(name=name).space() == plugins.method_config(name).space


def test_a_point_names_nothing_that_is_not_read() -> None:
    with pytest.raises(ValueError, match="nothing reads it under `settings`"):
        MethodSpec(name="implicit", settings={"solver": "conjugate_gradient"}, points=({"alpha": 0.05},))
    with pytest.raises(ValueError, match="`settings` fixes it"):
        MethodSpec(name="implicit", settings={"alpha": 0.1}, points=({"alpha": 0.05},))
    with pytest.raises(ValueError, match="would do nothing here"):
        MethodSpec(name="implicit", settings={"solver": "conjugate_gradient", "alpha": 0.05})
