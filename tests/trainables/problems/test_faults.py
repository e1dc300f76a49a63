"""Every value that is refused is told with what to give instead, in a comparison and in a problem alike."""

from __future__ import annotations

from typing import Any

import pytest

from search import configuration
from tests.support.toy_problems import image_toy
from tracking.errors import UserError
from trainables.contract_toy import toy_context
from trainables.methods.oracle import Config as Oracle
from trainables.problems.faults import joined
from trainables.problems.spec import ProblemSpec


def refused(**settings: Any) -> UserError:
    """What is said of a row of `implicit` with these settings."""
    problem = {"label": "p", "source": {"name": "digits"}}
    with pytest.raises(UserError) as told:
        configuration.validate({"problems": [problem], "methods": [{"name": "implicit", "settings": settings}]})
    return told.value


def entries(*weights: float, operation: str = "") -> dict[str, Any]:
    """A policy of rotation and scale, or of one operation several times."""
    named = zip(("rotation", "scale"), weights, strict=False)
    return {"entries": [{"operation": operation or name, "weight": weight} for name, weight in named]}


@pytest.mark.parametrize(("settings", "said", "hint"), [
    ({"policy": entries()}, "policy.entries = []: must not be empty", "`entries` takes one or more"),
    ({"operations": []}, "operations = []: must not be empty", "`operations` takes one or more"),
    ({"policy": entries(1.2)}, "weight = 1.2: input should be less", "give `weight` a number of at most 1"),
    ({"policy": entries(-0.1)}, "weight = -0.1: input should be greater", "give `weight` a number of at least 0"),
    ({"policy": entries(0.7, 0.7)}, "sum to 1 at most, but got 1.4", "what is missing to 1 leaves images as they are"),
    ({"policy": entries(0.2, 0.3, operation="hue")}, "got hue more than once", "name it once"),
    ({"operations": "rotation"}, "operations = 'rotation': must be a list", "operations: [rotation]"),
    ({"operations": ["rotate"]}, "operations.0 = 'rotate': no word", "did you mean `rotation`? known: autocontrast"),
    ({"alpha": float("inf")}, "alpha = inf: input should be a finite number", "neither infinite nor nan"),
    ({"alpha": 0}, "alpha = 0: input should be greater than 0", "give `alpha` a number above 0"),
])
def test_a_refused_value_has_a_hint(settings: dict[str, Any], said: str, hint: str) -> None:
    told = refused(**settings)
    assert said in told.got and hint in told.hint
    assert "Value error" not in told.got


def test_known_names_are_listed_once() -> None:
    told = refused(operations=["rotate", "hu"])
    assert told.hint.count("known: ") == 1 and told.hint.count("translate_x") == 1
    assert "did you mean `rotation`?" in told.hint and "did you mean `hue`?" in told.hint
    assert "translate_x" not in told.got, "the hint lists them"
    assert joined(["a? known: x, y", "b? known: x, y", "", "c", "c"]) == "a? known: x, y; b?; c"


def test_fields_of_a_problem_have_the_same_hints() -> None:
    for wrapper, hint in (
        ({"name": "long_tailed", "tail": "zip"}, "did you mean `zipf`?"),
        ({"name": "long_tailed", "ratio": 0}, "give `ratio` a number above 0"),
        ({"name": "nuisance", "ranges": {}}, "`ranges` takes one or more"),
    ):
        with pytest.raises(UserError) as told:
            ProblemSpec(label="p", source={"name": "digits"}, wrappers=(wrapper,))
        assert hint in told.value.hint


@pytest.mark.parametrize(("name", "hint"), [
    ("hue", "`hue` needs images of three channels; known: "),
    ("saturation", "`saturation` needs images of three channels"),
    ("invert", "`invert` is an operation of policies alone; known: "), ("rotate", "did you mean `rotation`? known: "),
])
def test_an_action_that_grey_images_lack_is_told_why(name: str, hint: str) -> None:
    """In what plants, in what is told of it, in a label made of it and in the limits."""
    source = {"name": "digits"}

    def built(*wrappers: dict[str, Any], **fields: Any) -> None:
        ProblemSpec.model_validate({"label": "p", "source": source, "wrappers": wrappers, **fields}).dataset(0)

    network: Any = None
    for attempt in (
        lambda: built({"name": "nuisance", "ranges": {name: 0.2}}),
        lambda: built({"name": "long_tailed", "ranges": {name: 0.2}}),
        lambda: built({"name": "transform_label", "operation": name, "values": [0.0, 0.1]}),
        lambda: built(limits={name: 0.2}),
        lambda: Oracle(ranges={name: 0.2}).fits(image_toy().view(), network),
    ):
        with pytest.raises(UserError) as told:
            attempt()
        assert told.value.got == name and told.value.hint.startswith(hint)


@pytest.mark.parametrize(("name", "hint"), [
    ("rotation", "`rotation` is of the standard bank of images, not of this one; known: amplitude"),
    ("hue", "`hue` is of the standard bank of images"), ("invert", "`invert` is an operation of policies alone"),
    ("time_shif", "did you mean `time_shift`?"),
])
def test_an_action_that_signals_lack_is_told_why(name: str, hint: str) -> None:
    for fields in ({"wrappers": [{"name": "nuisance", "ranges": {name: 0.2}}]}, {"limits": {name: 0.2}}):
        with pytest.raises(UserError) as told:
            ProblemSpec.model_validate({"label": "p", "source": {"name": "sinusoids"}, **fields}).dataset(0)
        assert told.value.got == name and told.value.hint.startswith(hint)


@pytest.mark.parametrize(("limits", "most"), [
    ({"hue": 0.9}, "0.5 turn"), ({"rotation": 200}, "180 deg"), ({"flip_vertical": 2}, "1 weight"),
])
def test_limits_end_where_an_action_means_nothing_more(limits: dict[str, float], most: str) -> None:
    def made(limits: dict[str, float], source: str = "glyphs") -> ProblemSpec:
        return ProblemSpec.model_validate({"label": "p", "source": {"name": source}, "limits": limits})

    with pytest.raises(UserError, match=f"is at most {most}"):
        made(limits).dataset(0)
    made({"hue": 0.5, "rotation": 180, "flip_vertical": 1}).dataset(0)
    made({"frequency_shift": 1000.0}, "sinusoids").dataset(0)  # another bank, whose units have no such end


@pytest.mark.parametrize(("ranges", "hint"), [
    ({"rotation": 120.0}, "a wider one needs `limits: {rotation: 120}`"),
    ({"rotation": 200.0}, "more than 180 deg means nothing; up to that"), ({"hue": 0.9}, "more than 0.5 turn means"),
    ({"rotation": -3.0}, "a half-width"),
])
def test_no_hint_asks_for_a_limit_that_is_refused(ranges: dict[str, float], hint: str) -> None:
    nuisance = {"name": "nuisance", "ranges": ranges}
    with pytest.raises(UserError) as told:
        ProblemSpec(label="p", source={"name": "glyphs", "images": 16, "test": 16}, wrappers=(nuisance,)).dataset(0)
    assert hint in told.value.hint and ("limits: {" in told.value.hint) == (ranges == {"rotation": 120.0})
    if "rotation" in ranges:
        network: Any = None
        with pytest.raises(UserError) as told:
            Oracle(ranges=ranges).fits(toy_context().problem, network)
        assert hint in told.value.hint


@pytest.mark.parametrize(("operation", "values", "hint"), [
    ("rotation", [0, 120], "a wider one needs `limits: {rotation: 120}` in the problem"),
    ("rotation", [-150, 0, 120], "a wider one needs `limits: {rotation: 150}` in the problem"),
    ("rotation", [0, 200], "more than 180 deg means nothing; up to that, raise `limits` in the problem"),
    ("gaussian_blur", [-0.1, 0.1], ""),
])
def test_values_of_a_label_ask_for_no_limit_that_is_refused(operation: str, values: list[float], hint: str) -> None:
    label = {"name": "transform_label", "operation": operation, "values": values}
    with pytest.raises(UserError, match="must lie in") as told:
        ProblemSpec.model_validate({"label": "p", "source": {"name": "digits"}, "wrappers": [label]}).dataset(0)
    assert told.value.hint == hint
