"""Families and descriptors that do not fit are refused, and what would fit is named."""

from __future__ import annotations

import pytest

from spaces.descriptors import LIMITS, Factor, standard_family
from spaces.transforms import MEANINGFUL, Operation
from tracking.errors import UserError
from trainables.makers.amortised_extractor import Config
from trainables.modules.amortised import complete
from trainables.modules.families import descriptor_of, family_of, require_entries
from trainables.problems.validation import validated

GREY = standard_family(1)
WHOLE = dict.fromkeys((factor.value for factor in GREY.factors), 1.0)


def refused(limits: dict[str, float], channels: int = 1, factors: tuple[Factor, ...] | None = None) -> UserError:
    with pytest.raises(UserError) as told:
        family_of(factors, limits, channels)
    return told.value


def test_a_factors_name_is_answered_by_its_operations() -> None:
    told = refused({"translation": 0.3})
    assert told.got == "translation"
    assert told.hint == "the operations of `translation` are `translate_x` and `translate_y`"


@pytest.mark.parametrize(("name", "channels", "factors", "said"), [
    ("hue", 1, None, "three channels only"), ("colour", 1, None, "three channels only"),
    ("hue", 3, (Factor.ROTATION,), "`colour` is not one of the family"),
    ("rotation", 1, (Factor.BLUR,), "`rotation` is not one of the family"),
    ("translate_z", 1, None, "did you mean `translate_"),
])
def test_of_other_limits_only_operations_of_the_family_are_listed(
    name: str, channels: int, factors: tuple[Factor, ...] | None, said: str
) -> None:
    hint = refused({name: 0.1}, channels, factors).hint
    assert said in hint
    listed = set(hint.partition("known: ")[2].split(", "))
    assert listed == {o.value for o in family_of(factors, {}, channels).operations}


@pytest.mark.parametrize("operation", LIMITS)
def test_a_limit_is_positive_and_means_something(operation: Operation) -> None:
    most = MEANINGFUL[operation]
    assert LIMITS[operation] <= most and family_of(None, {operation: most}, 3).limit(operation) == most
    for wrong in (most * 1.001, 0.0, -3.0, float("nan"), float("inf")):
        told = refused({operation: wrong}, 3)
        assert f"`{operation}` must be positive" in told.rule and "half-width" in told.hint, wrong


@pytest.mark.parametrize(("factors", "said"), [([], "at least one"), (["blur", "rotation", "blur"], "once")])
def test_factors_are_some_and_each_once(factors: list[str], said: str) -> None:
    """The standard ones are those of no list, and not of an empty one."""
    with pytest.raises(UserError, match=said) as told:
        validated(Config, {"factors": factors}, "extractor")
    assert "`factors`" in told.value.hint
    assert Config().family(1) == GREY


@pytest.mark.parametrize("value", [1.5, -0.1, float("nan")])
def test_an_entry_out_of_range_is_told_what_entries_mean(value: float) -> None:
    with pytest.raises(UserError) as told:
        complete(GREY, WHOLE | {"rotation": value})
    assert told.value.got == f"rotation: {value}" and "1 ignores" in told.value.hint
    assert descriptor_of(GREY, {"rotation": 0.5}).sum() == 0.5


def test_a_missing_entry_is_told_what_to_give() -> None:
    with pytest.raises(UserError, match="every entry") as told:
        complete(GREY, {"rotation": 1.0})
    assert "blur" in told.value.got and "give each" in told.value.hint


@pytest.mark.parametrize(("name", "said"), [
    ("colour", "three channels only"), ("hue", "three channels only"),
    ("translate_x", "an operation of `translation`"), ("roation", "did you mean `rotation`"),
])
def test_an_entry_that_is_lacking_is_answered_by_why(name: str, said: str) -> None:
    with pytest.raises(UserError) as told:
        require_entries(GREY, [name])
    assert said in told.value.hint and "did you mean `blur`" not in told.value.hint
    require_entries(standard_family(3), ["colour", *WHOLE])
