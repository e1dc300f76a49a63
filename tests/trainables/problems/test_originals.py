"""Learnable images as they were before a planted nuisance: the same rows, for methods that are told alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator

from tracking.cost import Meter
from trainables.problems.array_problem import ArrayProblem
from trainables.problems.array_view import ArrayView
from trainables.problems.dataset import POOL
from trainables.problems.nuisance import Config as Nuisance
from trainables.problems.problem import LEARNABLE, Batch, Problem, Split
from trainables.problems.spec import ProblemSpec, in_memory
from trainables.problems.strokes import background

TAIL: dict[str, Any] = {"name": "long_tailed", "largest": 60, "ratio": 0.1, "select": 10}
LEVEL = 99 / 255


def built(folder: Path, *wrappers: dict[str, Any]) -> ArrayProblem:
    spec = ProblemSpec(label="x", source={"name": "digits"}, wrappers=wrappers, actions=("background",))
    problem = spec.build(0, 0, folder)
    assert isinstance(problem, ArrayProblem)
    return problem


def originals(problem: ArrayProblem) -> ArrayView:
    found = problem.originals()
    assert found is not None
    return found


def drawn(view: ArrayView, *splits: Split) -> Batch:
    return view.draw(Generator().manual_seed(0), 200, *splits)


def test_rows_and_labels_are_those_of_the_view(tmp_path: Path) -> None:
    """Under backgrounds the most frequent value has another level in each row, and all else is as it was."""
    problem = built(tmp_path, {**TAIL, "ranges": {"background": LEVEL}})
    for seen, before in ((drawn(problem.view()), drawn(originals(problem))),
                         (problem.view().labelled(Split.OUTER), originals(problem).labelled(Split.OUTER))):
        assert torch.equal(seen.y, before.y)
        ground = before.x == before.x.flatten(1).mode(1).values[:, None, None, None]
        levels = torch.where(ground, seen.x, 0).flatten(1).amax(1)
        assert 0.3 < float(levels.max()) <= LEVEL + 0.5 / 255
        again = background(LEVEL, before.x, levels / LEVEL)
        assert float((again - seen.x).abs().max()) <= 0.5 / 255 + 1e-5  # stored in 8 bits


def test_they_are_the_images_of_the_problem_without_a_nuisance(tmp_path: Path) -> None:
    """Also where a wrapper chooses rows, before the nuisance or after it, and where there are two nuisances."""
    few, bright = {"name": "few_shot", "shots": 9}, {"name": "nuisance", "ranges": {"brightness": 0.3}}
    plain = built(tmp_path, few)
    for problem in (built(tmp_path, bright, few), built(tmp_path, few, bright)):
        assert torch.equal(originals(problem).labelled().x, plain.view().labelled().x)
        assert not torch.equal(problem.view().labelled().x, plain.view().labelled().x)
    tail = built(tmp_path, bright, {**TAIL, "ranges": {"background": LEVEL}})
    assert torch.equal(originals(tail).labelled().x, built(tmp_path, TAIL).view().labelled().x)


def test_repeated_images_stay_with_their_rows(tmp_path: Path) -> None:
    problem = built(tmp_path, {**TAIL, "draws": 5, "ranges": {"background": LEVEL}})
    assert torch.equal(originals(problem).labelled().x, built(tmp_path, {**TAIL, "draws": 5}).view().labelled().x)


def test_a_nuisance_of_some_splits_leaves_train_alone(tmp_path: Path) -> None:
    problem = built(tmp_path, {"name": "nuisance", "ranges": {"rotation": 60.0}, "on": ["outer", "select", "test"]})
    for split, same in ((Split.TRAIN, True), (Split.OUTER, False)):
        assert torch.equal(problem.view().labelled(split).x, originals(problem).labelled(split).x) is same


def test_nuisances_of_different_splits_have_one_original(tmp_path: Path) -> None:
    places = {"rotation": ["train"], "brightness": ["outer", "test"]}
    parts = [{"name": "nuisance", "ranges": {name: 0.3}, "on": on} for name, on in places.items()]
    problem = built(tmp_path, *parts)
    assert torch.equal(originals(problem).labelled().x, built(tmp_path).view().labelled().x)


def test_images_that_were_changed_after_a_nuisance_have_none(tmp_path: Path) -> None:
    """By their label, by a user's `map_pool`, or in another order: what T would have made of them is not known."""
    bright = {"name": "nuisance", "ranges": {"brightness": 0.3}}
    turn = {"name": "transform_label", "operation": "rotation", "values": [0, 45]}
    assert built(tmp_path, bright, turn).originals() is None
    assert built(tmp_path, turn, bright).originals() is not None
    planted = ProblemSpec(label="x", source={"name": "digits"}, wrappers=(bright,)).dataset(0)
    assert planted.clean_pool is not None and replace(planted, notes=("kept",)).clean_pool is planted.clean_pool
    negative = planted.map_pool(lambda x: 255 - x)
    shuffled = replace(planted, pool=dict.fromkeys(POOL, planted.pool[Split.TRAIN][::-1]), pool_y=planted.pool_y[::-1])
    for changed in (negative, shuffled):
        assert changed.clean_pool is None and in_memory(changed, 0, 0).originals() is None
        again = Nuisance(ranges={"contrast": 0.3}).wrap(changed, 0)
        assert again.clean_pool is None, "a later nuisance does not bring back what is lost"
    assert in_memory(planted, 0, 0).originals() is not None


def test_without_a_nuisance_there_are_none(tmp_path: Path) -> None:
    assert built(tmp_path, TAIL).originals() is None
    assert built(tmp_path, {"name": "nuisance", "ranges": {"rotation": 60.0}, "on": ["test"]}).originals() is None


def test_drawing_them_reads_no_label_twice(tmp_path: Path) -> None:
    problem, meter = built(tmp_path, {**TAIL, "ranges": {"rotation": 60.0}}), Meter("cpu")
    drawn(problem.view(meter), *LEARNABLE)
    before = meter.ledger()
    drawn(originals(problem), *LEARNABLE)
    assert meter.ledger() == before


@pytest.mark.parametrize("wrapper", [{**TAIL, "ranges": {"rotation": 60.0}}, TAIL], ids=["planted", "as they are"])
def test_no_view_offers_them(tmp_path: Path, wrapper: dict[str, Any]) -> None:
    problem: Problem = built(tmp_path, wrapper)
    assert not hasattr(problem.view(), "originals")
