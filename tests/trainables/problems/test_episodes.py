"""Few-shot tasks of images: unseen classes, clean supports, transformed queries; and what cannot be made into tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator

from tracking.errors import UserError
from trainables.problems.problem import Kind, Split
from trainables.problems.reachable import rows_of
from trainables.problems.spec import ProblemSpec
from trainables.problems.tasks import TaskProblem

SHARES = (0.4, 0.2, 0.4)


def built(folder: Path, shares: tuple[float, ...] = SHARES, **fields: Any) -> TaskProblem:
    wrapper = {"name": "episodes", "ways": 3, "shots": 2, "queries": 4, **fields}
    spec = ProblemSpec(label="x", source={"name": "digits"}, wrappers=[wrapper], shares=shares)
    problem = spec.build(0, 0, folder)
    assert isinstance(problem, TaskProblem)
    return problem


def test_classes_are_divided_and_none_is_in_two_splits(tmp_path: Path) -> None:
    problem = built(tmp_path)
    assert [problem.size(split) for split in Split] == [3, 1, 3, 3]
    images = {split: set(rows_of(problem._known[split], problem.shape)) for split in Split}
    everything = set.union(*images.values())
    assert len(everything) >= 0.99 * sum(len(own) for own in images.values())


def test_a_task_has_every_class_once_in_each_set_and_no_image_twice(tmp_path: Path) -> None:
    view = built(tmp_path).view()
    support, query = view.episodes(Generator().manual_seed(0), 20)
    assert (view.kind, view.outputs, view.shape) == (Kind.EPISODIC, 3, (1, 16, 16))
    assert support.y[0].tolist() == [0, 0, 1, 1, 2, 2]
    assert query.y[0].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    for task in range(20):
        shown = [image.numpy().tobytes() for image in torch.cat([support.x[task], query.x[task]])]
        assert len(set(shown)) == len(shown)


def test_the_same_label_is_another_class_in_another_task(tmp_path: Path) -> None:
    """Six orders of three classes of four: in 60 tasks the first class is not always the same."""
    problem = built(tmp_path)
    support, _ = problem.view().episodes(Generator().manual_seed(0), 60)
    classes = [set(rows_of(problem._known[split][k], problem.shape))
               for split in (Split.TRAIN, Split.OUTER) for k in range(problem.size(split))]
    firsts = [next(k for k, own in enumerate(classes) if set(rows_of((255 * image).byte().numpy()[None])) & own)
              for image in support.x[:, 0]]
    assert len(set(firsts)) == 4


def test_queries_are_transformed_and_supports_are_not(tmp_path: Path) -> None:
    turned, upright = built(tmp_path, ranges={"rotation": 60.0}), built(tmp_path)
    one, other = (problem.view().episodes(Generator().manual_seed(3), 10) for problem in (turned, upright))
    assert torch.equal(one.support.x, other.support.x)
    moved = (one.query.x - other.query.x).abs().flatten(2).max(2).values
    assert float(moved.min()) > 0 and float(moved.mean()) > 0.3, "each query is turned"
    assert 0 <= float(one.query.x.min()) <= float(one.query.x.max()) <= 1
    assert turned.truth is not None and turned.truth.invariant == {"rotation": 60.0}


def test_a_draw_has_all_labels(tmp_path: Path) -> None:
    assert set(built(tmp_path).view().draw(Generator().manual_seed(0), 60).y.tolist()) == {0, 1, 2}


@pytest.mark.parametrize(("fields", "message"), [
    ({"ways": 5}, "5 ways need 15 classes"),
    ({"queries": 500}, "shots \\+ queries = 502 images"),
    ({"ranges": {"rotatoin": 3.0}}, "action of the transform bank"),
    ({"ranges": {"rotation": 1000.0}}, "must lie in"),
])
def test_what_cannot_be_made_into_tasks(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        built(tmp_path, **fields)


def test_shares_that_leave_too_few_classes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"select must hold the 3 classes(.|\n)*shares"):
        built(tmp_path, (0.6, 0.2, 0.2))


def test_classes_of_given_sizes_are_no_tasks(tmp_path: Path) -> None:
    wrappers = [{"name": "long_tailed", "ratio": 0.02, "select": 5}, {"name": "episodes", "ways": 3}]
    spec = ProblemSpec(label="x", source={"name": "digits"}, wrappers=wrappers, shares=SHARES)
    with pytest.raises(UserError, match="comes before `long_tailed`"):
        spec.build(0, 0, tmp_path)


def test_a_task_that_asks_for_more_images_than_a_class_has(tmp_path: Path) -> None:
    problem = built(tmp_path)
    images = problem._known[Split.TRAIN].shape[1]
    assert problem.view().episode(Generator().manual_seed(0), 1, images - 1).query.y.numel() == 3 * (images - 1)
    with pytest.raises(UserError, match=f"shots \\+ queries = {images + 1}"):
        problem.view().episode(Generator().manual_seed(0), 1, images)


def test_signals_and_episodes_of_episodes(tmp_path: Path) -> None:
    for source, wrappers in [
        ({"name": "sinusoids", "per_class": 36}, [{"name": "episodes", "ways": 2}]),
        ({"name": "digits"}, [{"name": "episodes", "ways": 3}, {"name": "episodes", "ways": 3}]),
    ]:
        with pytest.raises(UserError, match="labelled images"):
            ProblemSpec(label="x", source=source, wrappers=wrappers).build(0, 0, tmp_path)
