"""Targets, evaluation in pieces, and what is counted."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from tests.trainables.modules.planted_features import CLASSES, FACTORS, Planted, planted
from tracking.errors import UserError
from trainables.modules.counted_features import CountedFeatures
from trainables.modules.evaluated import Evaluated, Judge, Targets, joined
from trainables.modules.ridge import loo_residuals

GRID = torch.tensor([-6.0, -3.0, 0.0], dtype=torch.float64)
N = 40


class Watched:
    """Features that remember the largest call."""

    def __init__(self, features: Planted) -> None:
        self.features, self.most, self.pairs = features, 0, 0

    def __call__(self, descriptors: Tensor, rows: Tensor | None) -> Tensor:
        z = self.features(descriptors, rows)
        self.most, self.pairs = max(self.most, z.shape[0] * z.shape[1]), self.pairs + z.shape[0] * z.shape[1]
        return z


def some(count: int) -> Tensor:
    return torch.rand(count, FACTORS, generator=Generator().manual_seed(0))


def test_of_weighted_targets_a_class_keeps_its_share_among_any_rows() -> None:
    """600, 60 and 6 examples, balanced; 47, 47 and 6 of them: a third of the weight each, as before."""
    labels = torch.arange(3).repeat_interleave(torch.tensor([600, 60, 6]))
    weights = (1 / torch.tensor([600.0, 60.0, 6.0]).double())[labels]
    targets = Targets.of_labels(labels, 3, weights / weights.mean())
    rows = torch.cat([torch.arange(47), 600 + torch.arange(47), 660 + torch.arange(6)])
    some_targets = targets.at(rows)
    assert some_targets.weights is not None and some_targets.labels is not None
    shares = torch.bincount(some_targets.labels, some_targets.weights) / len(rows)
    torch.testing.assert_close(shares, torch.full((3,), 1 / 3).double())
    assert float(some_targets.weights.mean()) == pytest.approx(1.0)
    assert some_targets.effective_number() == pytest.approx(9 / (1 / 47 + 1 / 47 + 1 / 6))
    assert Targets.of_labels(labels, 3).at(rows).weights is None


def judged(features: object, task: Planted, max_pairs: int) -> Judge:
    return Judge(CountedFeatures(features, N, max_pairs), task.targets, GRID)  # type: ignore[arg-type]


def check_same(one: Evaluated, other: Evaluated) -> None:
    assert torch.equal(one.descriptors, other.descriptors) and torch.equal(one.log_penalty, other.log_penalty)
    torch.testing.assert_close(one.losses, other.losses, rtol=1e-5, atol=1e-7)
    assert one.accuracy is not None and other.accuracy is not None
    torch.testing.assert_close(one.accuracy, other.accuracy)


def test_losses_penalty_and_accuracy_are_those_of_each_descriptor_alone() -> None:
    task = planted(0, N, label_factor=1)
    found = judged(task, task, 10**6).evaluate(some(6))
    assert found.accuracy is not None
    for m, descriptor in enumerate(found.descriptors):
        residuals = [loo_residuals(task(descriptor[None], None)[0], task.targets.values, at) for at in GRID]
        risks = torch.stack([r.square().sum(-1).mean() for r in residuals])
        best = int(risks.argmin())
        assert float(found.log_penalty[m]) == float(GRID[best])
        assert float(found.risk[m]) == pytest.approx(float(risks[best]), rel=1e-8)
        torch.testing.assert_close(found.losses[m], residuals[best].square().sum(-1), rtol=1e-6, atol=1e-9)
        predicted = (task.targets.values - residuals[best]).argmax(-1)
        assert float(found.accuracy[m]) == pytest.approx(float((predicted == task.labels).double().mean()))


@pytest.mark.parametrize("max_pairs", [1, 7, N, 3 * N + 1])
def test_pieces_change_nothing_but_the_size_of_calls(max_pairs: int) -> None:
    task = planted(0, N, label_factor=1)
    watched = Watched(task)
    judge = judged(watched, task, max_pairs)
    check_same(judge.evaluate(some(6)), judged(task, task, 10**6).evaluate(some(6)))
    assert watched.most <= max_pairs
    assert judge.features.forward == watched.pairs == 6 * N and judge.features.gradient == 0
    rows = torch.arange(0, N, 2)
    check_same(judge.evaluate(some(6), rows), judged(task, task, 10**6).evaluate(some(6), rows))
    assert watched.most <= max_pairs
    assert judge.features.forward == watched.pairs == 9 * N


@pytest.mark.parametrize("max_pairs", [7, N])
def test_gradient_through_recomputed_blocks(max_pairs: int) -> None:
    task = planted(0, N, label_factor=1)
    slopes = []
    for bound in (max_pairs, 10**6):
        watched = Watched(task)
        counted, at = CountedFeatures(watched, N, bound), some(2).requires_grad_()
        loss = loo_residuals(counted.tracked(at), task.targets.values, torch.zeros(2)).square().sum()
        slopes.append(torch.autograd.grad(loss, at)[0])
        assert counted.gradient == 2 * N
        assert counted.forward == (2 * N if bound < 2 * N else 0), "a recomputed forward pass is paid for"
        assert watched.most <= max(bound, 2) and watched.pairs == counted.forward + counted.gradient
    torch.testing.assert_close(*slopes, rtol=1e-4, atol=1e-6)
    assert float(slopes[1].abs().min()) > 0


def test_features_of_a_wrong_shape_are_refused() -> None:
    task = planted(0, N)
    with pytest.raises(ValueError, match="features must be"):
        judged(lambda descriptors, rows: task(descriptors, rows)[0], task, 10**6).evaluate(some(2))


def test_collapsed_features_are_refused() -> None:
    task = planted(0, N)
    with pytest.raises(UserError, match="differ between examples"):
        judged(lambda descriptors, rows: torch.ones(len(descriptors), N, 4), task, 10**6).evaluate(some(2))


def test_targets() -> None:
    targets = Targets.of_labels(torch.tensor([2, 0, 1, 2]), 3)
    assert targets.values.tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    part = targets.at(torch.tensor([3, 1]))
    assert part.labels is not None and part.labels.tolist() == [2, 0] and part.values.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert Targets.of_values(torch.arange(4.0)).values.shape == (4, 1)
    assert Targets.of_values(torch.zeros(4, 2)).at(torch.tensor([1])).labels is None


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(lambda: Targets.of_labels(torch.tensor([0, 1]), 3), id="fewer labels than classes"),
        pytest.param(lambda: Targets.of_labels(torch.tensor([], dtype=torch.long), 3), id="no labels"),
        pytest.param(lambda: Targets.of_labels(torch.tensor([0, 1, 3]), 3), id="label too large"),
        pytest.param(lambda: Targets.of_labels(torch.tensor([0, -1, 2]), 3), id="label below zero"),
        pytest.param(lambda: Targets.of_values(torch.tensor([0.0, float("nan")])), id="target not finite"),
    ],
)
def test_targets_that_no_head_can_learn_are_refused(bad: object) -> None:
    assert callable(bad)
    with pytest.raises(UserError):
        bad()


def test_a_class_without_labels_is_no_error() -> None:
    task = planted(0, N)
    targets = Targets.of_labels(task.labels, CLASSES + 1)
    found = Judge(CountedFeatures(task, N, 10**6), targets, GRID).evaluate(some(2))
    assert bool(torch.isfinite(found.losses).all())


def test_joined_keeps_the_order() -> None:
    task = planted(0, N)
    judge = judged(task, task, 10**6)
    check_same(joined([judge.evaluate(some(5)[:2]), judge.evaluate(some(5)[2:])]), judge.evaluate(some(5)))
