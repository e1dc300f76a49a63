"""A setting that nothing would read is told, wherever a rule has parts; at its default or with its part it is not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from tracking.errors import UserError
from trainables.idle_fields import refuse_idle
from trainables.methods import fixed_policy, implicit, oracle, plain
from trainables.modules.imbalance import ImbalanceConfig
from trainables.problems.long_tailed import Config as LongTailed

# The model, what is idle in it, and what it takes for that to be read.
CASES: list[tuple[type[BaseModel], dict[str, Any], dict[str, Any]]] = [
    (ImbalanceConfig, {"beta": 0.9}, {"sampling": "effective"}),
    (ImbalanceConfig, {"beta": 0.9}, {"weighting": "effective"}),
    (ImbalanceConfig, {"margin": 0.3}, {"loss": "ldam"}),
    (ImbalanceConfig, {"scale": 10.0}, {"loss": "ldam"}),
    (ImbalanceConfig, {"gamma": 2.0}, {"loss": "focal"}),
    (plain.Config, {"drops": (0.5,)}, {"learning_rate_decay": "steps"}),
    (plain.Config, {"drop_factor": 0.1}, {"learning_rate_decay": "steps"}),
    (oracle.Config, {"cutoff": 20}, {"ranges": {"rotation": 30.0}}),
    (oracle.Config, {"start": 0.5}, {"ranges": {"rotation": 30.0}}),
    (oracle.Config, {"replaced": 0.5}, {"ranges": {"rotation": 30.0}}),
    (implicit.Config, {"alpha": 0.05, "solver": "conjugate_gradient"}, {"solver": "neumann"}),
    (fixed_policy.Config, {"scale_weight": 0.1, "operations": ("rotation",)}, {"operations": ("rotation", "scale")}),
    (LongTailed, {"exponent": 1.5}, {"tail": "zipf"}),
    (LongTailed, {"least": 3}, {"tail": "zipf"}),
]


@pytest.mark.parametrize(("model", "idle", "reader"), CASES, ids=lambda value: str(value))
def test_a_setting_without_its_part_is_told(
    model: type[BaseModel], idle: dict[str, Any], reader: dict[str, Any]
) -> None:
    name = next(iter(idle))
    with pytest.raises(ValueError, match=f"`{name}` is of .*would do nothing here"):
        model.model_validate(idle)
    read = model.model_validate({**idle, **reader})
    assert model.model_validate(read.model_dump()) == read
    default = model()
    assert model.model_validate(default.model_dump()) == default, "a record holds every field"


def test_a_ratio_is_of_other_tails() -> None:
    with pytest.raises(ValueError, match="of a Zipf tail set `exponent` and `least`"):
        LongTailed.model_validate({"tail": "zipf", "ratio": 0.1})
    LongTailed.model_validate({"tail": "step", "ratio": 0.1})


def test_all_of_them_are_named_at_once() -> None:
    class Two(BaseModel):
        first: int = 1
        second: int = 2
        third: int = 3

    with pytest.raises(UserError) as told:
        refuse_idle(Two(first=5, second=6), ("first", "second", "third"), "a part")
    assert told.value.rule.startswith("`first`, `second` are of a part")
    assert told.value.got == "first: 5, second: 6"
    refuse_idle(Two(), ("first", "second", "third"), "a part")
