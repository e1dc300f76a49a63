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


def test_splits_that_look_different_are_compared_together() -> None:
    pool = dict.fromkeys(POOL, images()) | {Split.OUTER: images() + 1}
    assert in_memory(replace(classes(images()), pool=pool), 0, 0).size() > 0


@pytest.mark.parametrize("constant", [3.0, 0.1])
def test_real_targets_that_are_all_equal_are_refused(constant: float) -> None:
    """Also where the rounded mean of a number that has no end in binary gives a variance above zero."""
    y = np.full((COUNT, 2), constant, np.float32)
    with pytest.raises(UserError, match="targets of a regression must differ") as told:
        in_memory(values(y), 0, 0)
    assert f"are {constant:g}, {constant:g}" in told.value.got
    y[: COUNT // 2, 1] = 4.0
    assert in_memory(values(y), 0, 0).size() > 0, "of two targets one may be constant"


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
