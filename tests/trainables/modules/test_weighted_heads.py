"""Heads of examples that count differently: what is judged, descended, sharpened and told, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Generator, Tensor

from tests.trainables.modules.planted_features import CLASSES, FACTORS, planted
from trainables.modules.amortised import Head, _sharpest
from trainables.modules.counted_features import CountedFeatures
from trainables.modules.evaluated import Evaluated, Judge, Targets
from trainables.modules.factor_tests import factor_tests
from trainables.modules.gradient_search import descend
from trainables.modules.ridge import fit, loo_residuals

GRID = torch.tensor([-6.0, -3.0, 0.0], dtype=torch.float64)
N = 40


def weights(count: int) -> Tensor:
    w = torch.logspace(-1, 1, count, dtype=torch.float64)[torch.randperm(count, generator=Generator().manual_seed(4))]
    return w / w.mean()


def test_weights_choose_the_penalty_and_multiply_losses_and_hits() -> None:
    task, w = planted(0, N, label_factor=1), weights(N)
    targets = Targets.of_labels(task.labels, CLASSES, w)
    some = torch.rand(6, FACTORS, generator=Generator().manual_seed(0))
    found = Judge(CountedFeatures(task, N, 10**6), targets, GRID).evaluate(some)
    plain = Judge(CountedFeatures(task, N, 10**6), task.targets, GRID).evaluate(some)
    assert found.accuracy is not None and plain.accuracy is not None
    for m, descriptor in enumerate(some):
        residuals = [loo_residuals(task(descriptor[None], None)[0], targets.values, at, w) for at in GRID]
        losses = [w * r.square().sum(-1) for r in residuals]
        best = min(range(len(GRID)), key=lambda k: float(losses[k].mean()))
        assert float(found.log_penalty[m]) == float(GRID[best])
        torch.testing.assert_close(found.losses[m], losses[best], rtol=1e-6, atol=1e-9)
        right = ((targets.values - residuals[best]).argmax(-1) == task.labels).double()
        assert float(found.accuracy[m]) == pytest.approx(float((w * right).sum() / w.sum()))
    assert not torch.allclose(found.accuracy, plain.accuracy, atol=0.01)


def test_what_is_descended_is_the_weighted_risk_that_is_judged() -> None:
    """One penalty in the grid, so that the judge has no choice; and the risk falls."""
    task, w, at = planted(0, 200, 0), weights(200), torch.tensor([-3.0], dtype=torch.float64)
    asked = Judge(CountedFeatures(task, 200, 10**6), Targets.of_labels(task.labels, CLASSES, w), at)
    starts = torch.full((1, FACTORS), 0.5)
    found = descend(asked, starts, at, 25, 0.1)
    expected = (w * loo_residuals(task(starts, None), task.targets.values, at, w).square().sum(-1)).mean(-1)
    torch.testing.assert_close(found.risks[0], expected, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(found.risks[0], asked.evaluate(starts).risk, rtol=1e-6, atol=1e-9)
    assert float(asked.evaluate(found.ends).risk) < float(found.risks[0])


def test_the_sharpness_of_weighted_outputs_is_that_of_examples_repeated() -> None:
    """A law that holds for each grid point; and equal weights would take another."""
    y = torch.arange(60) % 3
    times = torch.where(torch.arange(60) < 12, 9, 1)
    outputs = torch.eye(3).double()[y] + 0.1 * torch.randn(60, 3, generator=Generator().manual_seed(0)).double()
    outputs[:12] = outputs[:12].roll(1, 1)  # the heavy ones are wrong
    w = times / times.double().mean()
    repeated = y.repeat_interleave(times)
    weighted = _sharpest(outputs, Targets.of_labels(y, 3, w))
    assert weighted == _sharpest(outputs.repeat_interleave(times, 0), Targets.of_labels(repeated, 3))
    assert weighted < _sharpest(outputs, Targets.of_labels(y, 3))


def test_a_weighted_head_is_the_weighted_ridge_sharpened_by_its_own_residuals() -> None:
    task, w, at = planted(0, N), weights(N), torch.tensor(-3.0, dtype=torch.float64)
    targets = Targets.of_labels(task.labels, CLASSES, w)
    z = task(torch.ones(1, FACTORS), None)[0]
    head, ridge = Head.fitted(z, targets, -3.0), fit(z, targets.values, at, w)
    torch.testing.assert_close(head.weight, ridge.weight.float())
    torch.testing.assert_close(head.bias, ridge.bias.float())
    held_out = targets.values - loo_residuals(z, targets.values, at, w)
    assert float(head.sharpness) == pytest.approx(float(_sharpest(held_out, targets)))
    wrong = targets.values - loo_residuals(z, targets.values, at)
    assert float(head.sharpness) != pytest.approx(float(_sharpest(wrong, targets)))


def test_with_weights_the_unit_is_the_weighted_variance_of_the_labels() -> None:
    """Three of one class, and one of the other that counts twice: 1 - .6^2 - .4^2 = .48; without weights .375."""
    y = torch.tensor([0, 0, 0, 1])
    w = torch.tensor([0.8, 0.8, 0.8, 1.6], dtype=torch.float64)
    kept, ignored = torch.tensor([[0.5, 0.7, 0.6, 0.9]]).double(), torch.tensor([[0.4, 0.3, 0.4, 0.5]]).double()
    judged = [Evaluated(torch.zeros(1, 2), losses, torch.zeros(1), None) for losses in (kept, ignored)]
    (found,) = factor_tests(*judged, Targets.of_labels(y, 2, w))
    assert found.gain == pytest.approx(float((kept - ignored).mean()) / 0.48)
    (plain,) = factor_tests(*judged, Targets.of_labels(y, 2))
    assert plain.gain == pytest.approx(float((kept - ignored).mean()) / 0.375)


def test_rows_are_judged_by_their_share_of_the_weight() -> None:
    """As a task of these rows alone whose weights were made for them."""
    task, rows = planted(0, N, label_factor=1), torch.arange(1, N, 2)
    balanced = [(1 / torch.bincount(y).double())[y] for y in (task.labels, task.labels[rows])]
    every, some = (w / w.mean() for w in balanced)
    points = torch.rand(3, FACTORS, generator=Generator().manual_seed(0))
    whole = Judge(CountedFeatures(task, N, 10**6), Targets.of_labels(task.labels, CLASSES, every), GRID)
    half = replace(task, content=task.content[rows], factors=task.factors[rows], labels=task.labels[rows])
    alone = Judge(CountedFeatures(half, N // 2, 10**6), Targets.of_labels(half.labels, CLASSES, some), GRID)
    torch.testing.assert_close(
        whole.evaluate(points, rows).losses, alone.evaluate(points).losses, rtol=1e-6, atol=1e-9
    )
