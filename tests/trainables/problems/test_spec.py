"""Problems as data: round trip, discovery, and what a user is told about mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, ValidationError

from tests.support.toy_problems import ImageToy, RegressionToy
from tracking.errors import UserError
from trainables.problems import Part, config_class, entries, names, wrapper_names
from trainables.problems.dataset import SourceConfig, WrapperConfig
from trainables.problems.problem import Split
from trainables.problems.spec import ProblemSpec

ROOT = Path(__file__).resolve().parents[3]


def spec(**changes: Any) -> ProblemSpec:
    return ProblemSpec(**{"label": "a", "source": {"name": "digits"}, **changes})


def test_json_round_trip_with_all_fields_filled_in() -> None:
    given = spec(wrappers=[{"name": "nuisance", "ranges": {"rotation": 30}, "on": ["test"]}])
    assert given.source == {"name": "digits", "size": 16, "test": 700}
    assert ProblemSpec.model_validate_json(given.model_dump_json()) == given
    assert json.loads(given.model_dump_json())["wrappers"][0]["on"] == ["test"]


def test_label_does_not_enter_the_cache_key(tmp_path: Path) -> None:
    toy = {"name": "toy_images"}
    spec(source=toy, label="a").build(0, 0, tmp_path)
    folders = sorted(tmp_path.iterdir())
    spec(source=toy, label="b").build(0, 0, tmp_path)
    assert sorted(tmp_path.iterdir()) == folders
    spec(source={**toy, "noise": 0.2}).build(0, 0, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2 * len(folders)


def test_regression_survives_the_cache(tmp_path: Path) -> None:
    problem = spec(source={"name": RegressionToy.name}).build(0, 0, tmp_path)
    assert [problem.size(split) for split in Split] == [48, 24, 24, 48]


def test_house_parts_are_found_by_their_modules() -> None:
    assert set(names()) >= {"digits", "folder", "torchvision"}
    assert set(wrapper_names()) >= {"few_shot", "nuisance", "transform_label"}
    assert all(entry.summary for entry in entries().values())
    for name, entry in entries().items():
        assert config_class(name, entry.part).name == name
        assert issubclass(config_class(name, entry.part), SourceConfig | WrapperConfig)


def test_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys; from trainables.problems import names; names()\n"
        "assert not {'torch', 'sklearn', 'torchvision', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_users_class_is_known_once_imported() -> None:
    # By name: another test may have loaded the same file once more, as a user's plug-in.
    assert config_class("toy_images").__qualname__ == ImageToy.__qualname__
    assert config_class("mine", extra={"mine": RegressionToy}) is RegressionToy


def test_a_users_class_may_not_take_a_house_name() -> None:
    class Digits(SourceConfig):
        name: ClassVar[str] = "other"

    with pytest.raises(UserError, match="name of the house"):
        config_class("digits", extra={"digits": Digits})


def test_source_and_wrapper_names_are_apart() -> None:
    with pytest.raises(UserError, match="known wrapper"):
        config_class("digits", Part.WRAPPER)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"source": {"name": "digts"}}, ["known source", "digts", "did you mean `digits`?"]),
        ({"source": {"nam": "digits"}}, ["needs a `name`"]),
        ({"source": {"name": "digits", "sise": 8}}, ["`digits.sise` is no field", "did you mean `size`?"]),
        ({"source": {"name": "digits", "size": 1, "test": -1}}, ["digits.size", "digits.test", "-1"]),
        ({"source": {"name": "digits", "size": "big"}}, ["digits.size", "'big'"]),
        ({"wrappers": [{"name": "fewshot", "shots": 4}]}, ["known wrapper", "did you mean `few_shot`?"]),
        ({"wrappers": [{"name": "few_shot"}]}, ["few_shot.shots", "required"]),
        ({"wrappers": [{"name": "few_shot", "shots": 2}]}, ["few_shot.shots", "greater than or equal to 3"]),
        ({"wrappers": [{"name": "transform_label", "operation": "rotation", "values": [1, 1]}]}, ["differ"]),
        ({"shares": (0.5, 0.5, 0.5)}, ["sum to 1"]),
        ({"limits": {"rotation": 0}}, ["positive"]),
        ({"lable": "b"}, ["did you mean `label`?"]),
    ],
)
def test_mistakes_are_told_as_rule_got_and_hint(changes: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(UserError) as told:
        spec(**changes)
    for part in said:
        assert part in str(told.value)


def test_unknown_limit_is_told_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean `rotation`"):
        spec(limits={"rotatoin": 180}).build(0, 0, tmp_path)


def test_inside_another_model_the_error_is_kept() -> None:
    class Study(BaseModel):
        problem: ProblemSpec

    with pytest.raises(ValidationError) as told:
        Study.model_validate({"problem": {"label": "a", "source": {"name": "digts"}}})
    assert "did you mean `digits`?" in str(told.value)
