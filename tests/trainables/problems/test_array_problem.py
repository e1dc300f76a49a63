"""Draws, episodes, losses and scores over arrays; and a method that cheats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator

from tests.support.toy_problems import (
    EpisodicToy,
    TestSplitTrap,
    TouchedError,
    image_toy,
    regression_toy,
    signal_toy,
)
from trainables.problems.array_problem import ArrayProblem
from trainables.problems.array_view import Description, Rows
from trainables.problems.problem import LEARNABLE, ForbiddenSplitError, Kind, Split, View
from trainables.problems.target_units import units_of


class CountingMeter:
    """Stands in for the meter: only what is read is counted."""

    def __init__(self) -> None:
        self.labels = self.inputs = 0

    def read_labels(self, count: int, phase: object = None) -> None:
        self.labels += count

    def read_unlabelled(self, count: int) -> None:
        self.inputs += count


def numbered(sizes: dict[Split, int]) -> ArrayProblem:
    """Inputs are row numbers, 0 upwards through the splits; two classes by parity."""
    rows, start = {}, 0
    for split, size in sizes.items():
        x = np.arange(start, start + size, dtype=np.float32)
        rows[split] = Rows(x[:, None, None], (x % 2).astype(np.int64))
        start += size
    return ArrayProblem(rows, Description(Kind.CLASSIFICATION, (1, 1), 2, ("even", "odd"), ()))


@pytest.fixture
def problem() -> ArrayProblem:
    return numbered({Split.TRAIN: 6, Split.OUTER: 4, Split.SELECT: 4, Split.TEST: 6})


def test_draw_is_uniform_over_the_union(problem: ArrayProblem) -> None:
    """Chi-square of 20,000 draws over 10 rows (9 degrees of freedom): above 33.7 with probability 1e-4."""
    x, y = problem.view().draw(Generator().manual_seed(0), 20_000, *LEARNABLE)
    counts = torch.bincount(x.flatten().long(), minlength=10)
    assert len(counts) == 10
    assert float(((counts - 2000).square() / 2000).sum()) < 33.7
    assert torch.equal(y, x.flatten().long() % 2)


def test_a_class_is_drawn_uniformly_and_only_it(problem: ArrayProblem) -> None:
    """Chi-square of 10,000 draws over the 5 even rows (4 degrees of freedom): above 23.6 with probability 1e-4."""
    x, y = problem.view().draw_classes(Generator().manual_seed(0), torch.zeros(10_000, dtype=torch.int64))
    rows = x.flatten().long()
    assert set(rows.tolist()) == {0, 2, 4, 6, 8} and not y.any()
    assert float(((torch.bincount(rows)[::2] - 2000).square() / 2000).sum()) < 23.6


def test_a_class_without_examples_cannot_be_drawn(problem: ArrayProblem) -> None:
    rows = {split: Rows(np.zeros((4, 1, 1), np.float32), np.zeros(4, np.int64)) for split in Split}
    lacking = ArrayProblem(rows, Description(Kind.CLASSIFICATION, (1, 1), 2, ("there", "missing"), ()))
    with pytest.raises(ValueError, match=r"but \[1\] have none"):
        lacking.view().draw_classes(Generator(), torch.tensor([0, 1]))


def test_examples_of_mixed_classes_come_in_the_order_asked_for(problem: ArrayProblem) -> None:
    wanted = torch.tensor([1, 0, 0, 1, 1])
    x, y = problem.view().draw_classes(Generator().manual_seed(0), wanted, Split.TRAIN)
    assert torch.equal(y, wanted) and torch.equal(x.flatten().long() % 2, wanted)
    assert float(x.max()) < 6


def test_balanced_inputs_hold_a_rare_class_as_often_as_a_common_one() -> None:
    """1 row of one class among 100: half of 2,000 draws, within 5 standard deviations (6e-7); 20 of a uniform draw."""
    rows = {split: Rows(np.zeros((4, 1, 1), np.float32), np.array([0, 1, 0, 1])) for split in Split}
    x = np.zeros((100, 1, 1), np.float32)
    x[7] = 1
    rows[Split.TRAIN] = Rows(x, x.flatten().astype(np.int64))
    rows[Split.OUTER] = Rows(x[:0], np.zeros(0, np.int64))
    rare = ArrayProblem(rows, Description(Kind.CLASSIFICATION, (1, 1), 2, ("common", "rare"), ()))
    meter = CountingMeter()
    view = rare.view(meter)  # type: ignore[arg-type]
    assert view.class_sizes().tolist() == [99, 1]
    assert abs(float(view.unlabelled_balanced(Generator().manual_seed(0), 2000).sum()) - 1000) < 5 * 500**0.5
    assert float(view.unlabelled(Generator().manual_seed(0), 2000).sum()) < 60
    assert (meter.labels, meter.inputs) == (0, 4000)


def test_no_split_named_means_train_and_outer(problem: ArrayProblem) -> None:
    a, b = (problem.view().draw(Generator().manual_seed(0), 50, *splits).x for splits in ((), LEARNABLE))
    assert torch.equal(a, b)
    assert problem.view().size() == 10


def test_meter_counts_what_is_read(problem: ArrayProblem) -> None:
    """Labels of `outer`, and inputs handed out without any."""
    meter = CountingMeter()
    view = problem.view(meter)  # type: ignore[arg-type]
    generator = Generator().manual_seed(0)
    view.draw(generator, 32, Split.TRAIN)
    assert meter.inputs == 0
    view.unlabelled(generator, 32)
    assert (meter.labels, meter.inputs) == (0, 32)
    view.draw(generator, 32, Split.OUTER)
    assert meter.labels == 32
    x, _ = view.draw(generator, 32, *LEARNABLE)
    assert meter.labels == 32 + int((x >= 6).sum())
    before = meter.labels
    episode = view.episode(generator, 1, 1, Split.OUTER)
    assert meter.labels == before + len(episode.support.y) + len(episode.query.y)
    assert meter.inputs == 32


def test_the_problem_itself_counts_nothing_and_views_do_not_share_meters(problem: ArrayProblem) -> None:
    meter = CountingMeter()
    problem.view(meter)  # type: ignore[arg-type]
    problem.view().draw(Generator().manual_seed(0), 8, Split.OUTER)
    problem.draw(Generator().manual_seed(0), 8, Split.OUTER)
    problem.unlabelled(Generator().manual_seed(0), 8)
    assert (meter.labels, meter.inputs) == (0, 0)


def test_episode_has_shots_and_queries_of_every_class_all_different() -> None:
    view = image_toy().view()
    support, query = view.episode(Generator().manual_seed(0), 3, 5, *LEARNABLE)
    assert support.y.bincount().tolist() == [3, 3, 3]
    assert query.y.bincount().tolist() == [5, 5, 5]
    rows = {x.numpy().tobytes() for x in torch.cat((support.x, query.x))}
    assert len(rows) == 24


def test_episode_that_is_too_large_is_refused(problem: ArrayProblem) -> None:
    with pytest.raises(ValueError, match=r"3 \+ 3 where the smallest class has 5"):
        problem.view().episode(Generator(), 3, 3)


def test_every_row_comes_into_episodes(problem: ArrayProblem) -> None:
    generator = Generator().manual_seed(0)
    seen = {float(v) for _ in range(60) for v in problem.view().episode(generator, 1, 1).query.x.flatten()}
    assert seen == set(range(10))  # a row is left out with probability 10 * 0.8^60 < 2e-5


def test_regression_score_is_one_for_perfect_and_zero_for_the_mean() -> None:
    problem = regression_toy()
    y = torch.cat([problem.examples(split).y for split in LEARNABLE])
    assert float(problem.score(y, y)) == 1
    assert float(problem.score(y.mean(0).expand_as(y), y)) == pytest.approx(0, abs=1e-5)


def test_regression_toy_is_linear() -> None:
    """In the targets' own units; in standard ones there is a constant besides."""
    problem = regression_toy()
    units = units_of(problem)
    assert units is not None
    (x, y), (new, expected) = problem.examples(Split.TRAIN), problem.examples(Split.TEST)
    solution = torch.linalg.lstsq(x.flatten(1), units.own(y)).solution
    assert torch.allclose(new.flatten(1) @ solution, units.own(expected), atol=1e-4)


def test_episodic_toy_is_a_shift_equivariant_task() -> None:
    support, query = EpisodicToy().view().episode(Generator().manual_seed(0), 12, 4)
    full = torch.linalg.lstsq(support.x.flatten(1), support.y).solution
    assert torch.allclose(query.x.flatten(1) @ full, query.y, atol=1e-3)
    assert torch.allclose(full.roll((1, 1), (0, 1)), full, atol=1e-3)  # circulant


def test_nearest_mean_learns_the_toys() -> None:
    """The toys can be learnt: nearest class mean is far above chance (1/3)."""
    for problem, features in ((image_toy(rotation_deg=0), lambda x: x), (signal_toy(), spectrum)):
        (x, y), (test_x, test_y) = problem.examples(Split.TRAIN), problem.examples(Split.TEST)
        means = torch.stack([features(x[y == k]).flatten(1).mean(0) for k in range(3)])
        outputs = -torch.cdist(features(test_x).flatten(1), means)
        assert float(problem.score(outputs, test_y)) > 0.9


def spectrum(x: torch.Tensor) -> torch.Tensor:
    return torch.fft.rfft(x).abs()


class Cheat:
    """A method that looks for labels it must not see, in all the ways that the protocol offers."""

    def __init__(self, view: View) -> None:
        self.view = view

    def attempts(self) -> list[object]:
        generator = Generator().manual_seed(0)
        return [
            lambda: self.view.draw(generator, 4, Split.TEST),
            lambda: self.view.draw(generator, 4, Split.TRAIN, Split.SELECT),
            lambda: self.view.episode(generator, 1, 1, Split.TEST),
            lambda: self.view.size(Split.SELECT),
            lambda: self.view.examples(Split.TEST),  # type: ignore[attr-defined]
            lambda: self.view.truth,  # type: ignore[attr-defined]
            lambda: self.view._rows[Split.TEST],  # type: ignore[attr-defined]
            lambda: self.view._learnable[Split.TEST],  # type: ignore[attr-defined]
        ]


@pytest.mark.parametrize("attempt", range(8))
def test_a_cheating_method_is_rejected(attempt: int) -> None:
    with pytest.raises((ForbiddenSplitError, AttributeError, KeyError)):
        Cheat(image_toy().view()).attempts()[attempt]()  # type: ignore[operator]


@pytest.mark.parametrize("attempt", [4, 5, 6])
def test_the_cheat_would_succeed_on_the_problem_itself(attempt: int) -> None:
    """The negative control: handed the problem instead of a view, the same attempts go through."""
    Cheat(image_toy()).attempts()[attempt]()  # type: ignore[operator]


def test_trap_raises_when_a_forbidden_split_or_the_truth_is_touched() -> None:
    trap = TestSplitTrap(image_toy())
    assert trap.size(Split.TRAIN) > 0
    assert len(trap.examples(Split.TRAIN).y) > 0
    for split in (Split.SELECT, Split.TEST):
        with pytest.raises(TouchedError):
            trap.examples(split)
    with pytest.raises(TouchedError):
        _ = trap.truth


def test_examples_drawn_by_class_are_counted_as_any_others() -> None:
    meter, generator = CountingMeter(), Generator().manual_seed(0)
    view: Any = numbered({Split.TRAIN: 6, Split.OUTER: 4, Split.SELECT: 4, Split.TEST: 6}).view(meter)
    view.draw_classes(generator, torch.zeros(30, dtype=torch.int64), Split.TRAIN)
    assert meter.labels == 0
    view.draw_classes(generator, torch.arange(20) % 2, Split.OUTER)
    assert meter.labels == 20
    x, _ = view.draw_classes(generator, torch.arange(100) % 2, *LEARNABLE)
    assert meter.labels == 20 + int((x >= 6).sum()) and 20 < meter.labels < 120
    assert meter.inputs == 0
