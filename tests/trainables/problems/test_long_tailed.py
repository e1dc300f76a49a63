"""Tails: published sizes, what each split holds, and the numbers that only the harness may know."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tracking.errors import UserError
from trainables.problems.array_problem import ArrayProblem
from trainables.problems.dataset import Dataset
from trainables.problems.digits import Config as Digits
from trainables.problems.few_shot import Config as FewShot
from trainables.problems.long_tailed import Config as LongTailed
from trainables.problems.long_tailed import class_groups
from trainables.problems.nuisance import Config as Nuisance
from trainables.problems.problem import LEARNABLE, Split, Truth
from trainables.problems.spec import ProblemSpec
from trainables.problems.tails import Tail, tail_sizes
from trainables.problems.transform_label import Config as TransformLabel


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return Digits(test=200).load(0)


def tailed(folder: Path, partition: int = 0, **fields: Any) -> ArrayProblem:
    spec = ProblemSpec(
        label="x", source={"name": "digits"},
        wrappers=({"name": "long_tailed", "largest": 60, "ratio": 0.1, "select": 10, **fields},),
    )
    problem = spec.build(0, partition, folder)
    assert isinstance(problem, ArrayProblem)
    return problem


def test_published_sizes() -> None:
    """CIFAR-10-LT at 100 (12,406 images), CIFAR-100-LT (10,847), and K49-LT (7,822, 21 classes of 5)."""
    cifar = tail_sizes(Tail.EXPONENTIAL, 10, 5000, 0.01, 0, 0)
    assert cifar == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50] and sum(cifar) == 12_406
    assert sum(tail_sizes(Tail.EXPONENTIAL, 100, 500, 0.01, 0, 0)) == 10_847
    k49 = tail_sizes(Tail.ZIPF, 49, 4800, 0, 2.0, 5)
    assert k49[:10] == [4800, 1200, 533, 300, 192, 133, 97, 75, 59, 48]
    assert sum(k49) == 7_822 and k49.count(5) == 21
    assert tail_sizes(Tail.STEP, 5, 100, 0.1, 0, 0) == [100, 100, 100, 10, 10]
    assert tail_sizes(Tail.EXPONENTIAL, 10, 1500, 8 / 1500, 0, 0)[-1] == 8
    assert tail_sizes(Tail.STEP, 2, 100, 0.29, 0, 0) == [100, 29]


def test_train_and_outer_together_have_the_tail_and_select_is_even(tmp_path: Path) -> None:
    problem = tailed(tmp_path)
    assert sorted(problem.class_sizes().tolist(), reverse=True) == tail_sizes(Tail.EXPONENTIAL, 10, 60, 0.1, 0, 0)
    assert torch.bincount(problem.examples(Split.SELECT).y).tolist() == [10] * 10
    assert torch.bincount(problem.examples(Split.TEST).y).min() >= 60


def test_another_order_is_another_order_of_the_same_images(digits: Dataset) -> None:
    orders = [LongTailed(largest=60, ratio=0.1, select=10, order=order).wrap(digits, 0) for order in (0, 0, 1, None)]
    sizes = [np.bincount(one.pool_y[~one.select]).tolist() for one in orders]  # type: ignore[operator]
    assert sizes[0] == sizes[1] != sizes[2] and sorted(sizes[0]) == sorted(sizes[2])
    assert sizes[3] == sorted(sizes[3], reverse=True)
    assert LongTailed(largest=60, ratio=0.1, select=10).wrap(digits, 1).pool[Split.TRAIN].tobytes() \
        != orders[0].pool[Split.TRAIN].tobytes()
    first, third = ({x.tobytes() for x in one.pool[Split.TRAIN]} for one in (orders[0], orders[2]))
    whole = {x.tobytes() for x in LongTailed(largest=60, ratio=1.0, select=10).wrap(digits, 0).pool[Split.TRAIN]}
    assert first <= whole and third <= whole


def test_no_image_to_learn_from_is_in_select_in_any_partition(tmp_path: Path) -> None:
    parts = [tailed(tmp_path, partition) for partition in (0, 1)]
    select = [{x.numpy().tobytes() for x in part.examples(Split.SELECT).x} for part in parts]
    learned = [{x.numpy().tobytes() for s in LEARNABLE for x in part.examples(s).x} for part in parts]
    assert select[0] == select[1] and learned[0] == learned[1] and not select[0] & learned[0]
    train = [{x.numpy().tobytes() for x in part.examples(Split.TRAIN).x} for part in parts]
    assert train[0] != train[1]


def test_where_everything_is_taken_select_stays_apart(tmp_path: Path) -> None:
    """No `largest`: the smallest class gives all that `select` leaves."""
    problem = tailed(tmp_path, largest=None, ratio=1.0)
    learned = {x.numpy().tobytes() for split in LEARNABLE for x in problem.examples(split).x}
    assert not learned & {x.numpy().tobytes() for x in problem.examples(Split.SELECT).x}
    assert len(set(problem.class_sizes().tolist())) == 1


def test_train_and_outer_have_the_problems_shares(tmp_path: Path) -> None:
    """Two to one of what is learned from, whatever select takes."""
    problem = tailed(tmp_path)
    assert problem.size(Split.TRAIN) / problem.size(Split.OUTER) == pytest.approx(2.0, abs=0.15)


def test_the_score_is_the_mean_recall(tmp_path: Path) -> None:
    """8 right of 8 in one class, 1 of 2 in the other: 75 %, where accuracy would be 90 %."""
    y = torch.tensor([3] * 8 + [5] * 2)
    outputs = torch.zeros(10, 10)
    outputs[:9, 3], outputs[8, 5], outputs[9, 3] = 1, 2, 1
    assert float(tailed(tmp_path).score(outputs, y)) == pytest.approx(0.75)
    plain = ProblemSpec(label="x", source={"name": "digits"}).build(0, 0, tmp_path)
    assert float(plain.score(outputs, y)) == pytest.approx(0.9)


def test_untouched_images_are_those_of_the_source(tmp_path: Path, digits: Dataset) -> None:
    turned = LongTailed(largest=60, select=10, ratio=0.1, ranges={"rotation": 60.0}).wrap(digits, 0)
    assert turned.clean_x is digits.test_x
    assert not np.array_equal(turned.test_x, digits.test_x)
    twice = Nuisance(ranges={"brightness": 0.3}).wrap(turned, 0)
    assert twice.clean_x is digits.test_x
    problem = tailed(tmp_path, ranges={"rotation": 60.0})
    clean = problem.untouched(4)
    assert torch.equal(clean.y, torch.arange(10).repeat_interleave(4))
    plain = ProblemSpec(label="x", source={"name": "digits"}).build(0, 0, tmp_path).examples(Split.TEST)
    assert torch.equal(clean.x[4:8], plain.x[plain.y == 1][:4])
    assert not hasattr(problem.view(), "untouched") and not hasattr(problem.view(), "planted")


def test_only_the_number_of_draws_follows_the_class_size(digits: Dataset) -> None:
    """Every class has five images; turned copies of each, so often that the class has its size."""
    made = LongTailed(largest=60, ratio=0.1, select=10, draws=5, ranges={"rotation": 60.0}).wrap(digits, 0)
    still = LongTailed(largest=60, ratio=0.1, select=10, draws=5).wrap(digits, 0)
    rows = ~made.select  # type: ignore[operator]
    for label in range(10):
        here = rows & (made.pool_y == label)
        assert len({x.tobytes() for x in still.pool[Split.TRAIN][here]}) == 5
        assert len({x.tobytes() for x in made.pool[Split.TRAIN][here]}) == here.sum()
    assert sorted(np.bincount(made.pool_y[rows]), reverse=True) == tail_sizes(Tail.EXPONENTIAL, 10, 60, 0.1, 0, 0)


def test_thirds_keep_equal_sizes_together() -> None:
    falling = np.array([1500, 838, 468, 262, 146, 81, 45, 25, 14, 8])
    assert class_groups(falling) == {"head": [0, 1, 2], "middle": [3, 4, 5, 6], "tail": [7, 8, 9]}
    assert class_groups(np.array([5, 50, 5, 50])) == {"head": [1, 3], "tail": [0, 2]}
    assert class_groups(np.array([7, 7, 7])) == {"head": [0, 1, 2], "tail": [0, 1, 2]}
    assert class_groups(np.array([9, 1])) == {"head": [0], "tail": [1]}
    zipf = class_groups(np.array([100, 12, 5, 5, 5, 5, 5, 5, 5, 5]))
    assert zipf == {"head": [0, 1], "tail": [2, 3, 4, 5, 6, 7, 8, 9]}
    assert class_groups(np.array([10] * 9 + [5])) == {"head": list(range(9)), "tail": [9]}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"largest": 5000}, "images that the tail and `select` ask for.*of 5010"),
        ({"largest": 60, "ratio": 0.01}, "smallest class of the tail needs 2"),
        ({"tail": "zipf", "ratio": 0.01, "largest": 3, "least": 20}, "`least` is a size of the tail"),
        ({"draws": 400}, "lower `draws`"),
        ({"draws": 30, "largest": 60, "ranges": {"rotation": 60.0}}, "draws: 30, and the smallest class has 6"),
        ({"select": 500}, "`select` must leave 2 images"),
        ({"ranges": {"rotaton": 3.0}}, "did you mean `rotation`"),
        ({"ranges": {"stroke": 3.0}}, "action of the transform bank"),
    ],
)
def test_bad_tails_are_told(digits: Dataset, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=f"(?s){said}"):
        LongTailed(**{"select": 10, "ratio": 0.1, **fields}).wrap(digits, 0)


def test_one_class_or_a_second_tail_is_refused(digits: Dataset) -> None:
    one = digits.rows(np.flatnonzero(digits.pool_y == 0))
    single = Dataset(**{**vars(one), "outputs": 1, "classes": ("0",)})
    with pytest.raises(UserError, match="two classes or more"):
        LongTailed(largest=20, select=10, ratio=0.5).wrap(single, 0)
    tail = LongTailed(largest=20, select=10, ratio=0.5)
    for wrapper in (FewShot(shots=5), TransformLabel(operation="rotation", values=(0.0, 45.0))):
        with pytest.raises(UserError, match=f"`{wrapper.name}` comes before `long_tailed`"):
            wrapper.wrap(tail.wrap(digits, 0), 0)
        assert tail.wrap(wrapper.wrap(digits, 0) if wrapper.name == "transform_label" else digits, 0).balanced
    with pytest.raises(UserError, match="one tail"):
        tail.wrap(tail.wrap(digits, 0), 0)
    with pytest.raises(UserError, match="same images in every split"):
        tail.wrap(Nuisance(ranges={"rotation": 30.0}, on=(Split.SELECT,)).wrap(digits, 0), 0)


def test_an_action_is_planted_once(digits: Dataset) -> None:
    """Whatever it is and however little, and whichever wrapper comes first; others may come before.

    A range that is known to be safe was not planted, and counts for nothing.
    """
    sized = {"select": 10, "ratio": 0.1}
    for name, reach in {"rotation": 30.0, "flip_horizontal": 1.0, "brightness": 0.1}.items():
        nuisance, tail = Nuisance(ranges={name: reach}), LongTailed(ranges={name: reach}, **sized)
        for first, second in ((nuisance, tail), (tail, nuisance), (nuisance, nuisance)):
            with pytest.raises(UserError, match=rf"(?s)planted once.*`{name}` twice"):
                second.wrap(first.wrap(digits, 0), 0)
    two = LongTailed(ranges={"brightness": 0.1}, **sized).wrap(Nuisance(ranges={"rotation": 30}).wrap(digits, 0), 0)
    assert two.truth == Truth({"rotation": 30.0, "brightness": 0.1}, {})
    assert two.nuisances == {"rotation": 30.0, "brightness": 0.1}
    safe = replace(digits, truth=Truth({"rotation": 60.0}, {}))
    LongTailed(ranges={"rotation": 60}, **sized).wrap(safe, 0)
