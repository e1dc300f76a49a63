"""Data from which nothing can be learned are refused when the problem is built, in memory or from a source."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from tracking.errors import UserError
from trainables.problems import discovery
from trainables.problems.dataset import POOL, Array, Dataset, SourceConfig, labelled
from trainables.problems.discovery import Part
from trainables.problems.problem import Kind, Split
from trainables.problems.spec import ProblemSpec, in_memory
from trainables.problems.transform_label import Config as TransformLabel

COUNT = 400  # more than one block of the comparison in each split


def images(different: int = 0) -> Array:
    """Grey ones, all equal but the last so many."""
    x = np.full((COUNT, 1, 8, 8), 7, np.uint8)
    x[COUNT - different :, 0, 0, 0] = 9
    return x


def classes(x: Array) -> Dataset:
    return labelled(x, np.arange(COUNT) % 2, x[:6], np.arange(6) % 2, ("a", "b"))


def values(y: Array) -> Dataset:
    """Real targets of images that differ."""
    x = np.random.default_rng(0).integers(0, 255, (COUNT, 1, 8, 8)).astype(np.uint8)
    return replace(classes(x), kind=Kind.REGRESSION, pool_y=y, test_y=y[:6], classes=(), outputs=y.shape[1])


def test_inputs_that_are_all_equal_are_refused_and_many_alike_are_not() -> None:
    with pytest.raises(UserError, match="inputs of a problem must differ") as told:
        in_memory(classes(images()), 0, 0)
    assert "blank" in told.value.hint
    assert in_memory(classes(images(COUNT // 2)), 0, 0).size() > 0, "one class of one image, and one of another"
    problem = in_memory(replace(classes(images(60)), select=np.arange(COUNT) < 100), 0, 0)
    assert float(problem.view().labelled().x.std()) > 0


@pytest.mark.parametrize("names", [("only",), ()])
def test_one_class_is_nothing_to_tell_apart(names: tuple[str, ...]) -> None:
    """Unless a wrapper makes other labels of it."""
    x = np.random.default_rng(0).integers(0, 255, (COUNT, 1, 8, 8)).astype(np.uint8)
    one = replace(labelled(x, np.zeros(COUNT), x[:6], np.zeros(6), names), outputs=1)
    with pytest.raises(UserError, match=f"two classes or more\n  got:  {names[0] if names else 1}\n  hint: add"):
        in_memory(one, 0, 0)
    turned = TransformLabel(operation="rotation", values=(0.0, 90.0)).wrap(one, 0)
    assert in_memory(turned, 0, 0).outputs == 2


@pytest.mark.parametrize("tested", [[0, 1, 1], [0, 0, 0], [1, 1, 1]])
def test_classes_without_a_test_example_are_noted(tested: list[int]) -> None:
    data = classes(images(COUNT // 2))
    problem = in_memory(replace(data, test_x=data.test_x[:3], test_y=np.asarray(tested), notes=("odd",)), 0, 0)
    lacking = {"a", "b"} - {"ab"[label] for label in tested}
    assert problem.notes[0] == "odd" and len(problem.notes) == 1 + len(lacking)
    assert all(f"no test example of the class {name}: " in problem.notes[1] for name in lacking)


def test_a_note_names_ten_classes() -> None:
    fourteen = {"pool_y": np.arange(COUNT) % 14, "outputs": 14, "classes": tuple("abcdefghijklmn")}
    data = replace(classes(images(COUNT // 2)), **fourteen)
    (note,) = in_memory(data, 0, 0).notes
    assert "classes c, d, e, f, g, h, i, j, k, l and 2 more: " in note


def test_splits_that_look_different_are_compared_together() -> None:
    pool = dict.fromkeys(POOL, images()) | {Split.OUTER: images() + 1}
    assert in_memory(replace(classes(images()), pool=pool), 0, 0).size() > 0


@pytest.mark.parametrize("constant", [3.0, 0.1, 1e6 / 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_real_targets_that_do_not_vary_are_refused(constant: float, dtype: type) -> None:
    """Also where the rounded mean of a number that has no end in binary gives a variance above zero, and one alone."""
    y = np.full((COUNT, 2), constant, dtype)
    with pytest.raises(UserError, match="every target of a regression must vary") as told:
        in_memory(values(y), 0, 0)
    assert f"output 0 is {constant:g}, output 1 is {constant:g}" in told.value.got
    y[:, 1] = np.random.default_rng(0).normal(size=COUNT)
    with pytest.raises(UserError, match="every target of a regression must vary") as told:
        in_memory(values(y), 0, 0)
    assert told.value.got == f"in all of train and outer output 0 is {constant:g}"
    y[: COUNT // 2, 0] *= 1 + 1e-5
    assert in_memory(values(y), 0, 0).size() > 0, "however little it varies, beside the rounding of float32"


def test_of_many_outputs_that_do_not_vary_ten_are_named() -> None:
    with pytest.raises(UserError, match="output 9 is 1 and 2 more do not vary"):
        in_memory(values(np.ones((COUNT, 12), np.float32)), 0, 0)


class Blank(SourceConfig):
    """Images that are all equal."""

    name: ClassVar[str] = "blank"

    def load(self, seed: int) -> Dataset:
        return classes(images())


def test_a_source_is_refused_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = discovery.config_class
    monkeypatch.setattr(
        "trainables.problems.spec.config_class",
        lambda name, part: Blank if (name, part) == ("blank", Part.SOURCE) else known(name, part),
    )
    with pytest.raises(UserError, match="inputs of a problem must differ"):
        ProblemSpec(label="p", source={"name": "blank"}).build(0, 0, tmp_path)
