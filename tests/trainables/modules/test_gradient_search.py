"""The gradient against finite differences, the exhaustive corners and its own other starts."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from tests.trainables.modules.planted_features import FACTORS, Planted, planted
from trainables.modules.choice import paired
from trainables.modules.corners import all_corners
from trainables.modules.counted_features import CountedFeatures
from trainables.modules.descriptor_search import SearchConfig
from trainables.modules.evaluated import Evaluated, Judge
from trainables.modules.gradient_search import Descent, descend, way_to_default
from trainables.modules.ridge import loo_residuals

N = 200
STARTS = torch.stack([torch.full((FACTORS,), 0.5), torch.ones(FACTORS), torch.zeros(FACTORS)])


def judge(task: Planted, max_pairs: int = 10**6) -> Judge:
    grid = SearchConfig().log_penalties(task.targets)
    return Judge(CountedFeatures(task, len(task.labels), max_pairs), task.targets, grid)


def descended(task: Planted, steps: int = 25, rate: float = 0.1, max_pairs: int = 10**6) -> Descent:
    penalties = judge(task).evaluate(STARTS).log_penalty
    return descend(judge(task, max_pairs), STARTS, penalties, steps, rate)


def check_within_one_error_of_the_corners(ends: Evaluated, corners: Evaluated) -> None:
    """The best end is at most one standard error of the paired difference behind the best corner."""
    best = ends.losses[int(ends.risk.argmin())]
    behind, error = paired(best, corners.losses[int(corners.risk.argmin())])
    assert float(behind) <= float(error)


def starts_agree(ends: Evaluated) -> bool:
    """Whether every end's risk lies within half a standard error of the best end's risk.

    Not of the paired difference: two ends in one flat valley have nearly the same losses, and so a paired error of
    nearly zero.
    """
    best = ends.losses[int(ends.risk.argmin())]
    return float(ends.risk.max() - ends.risk.min()) <= 0.5 * float(best.std()) / N**0.5


TASKS = [(seed, label_factor) for seed in range(4) for label_factor in (None, 0, 3)]


def test_ends_reach_the_exhaustive_corners_and_starts_agree() -> None:
    """On all tasks. Starts begin at the best penalty of the grid: from a common one they agree on 9 of these 12."""
    for seed, label_factor in TASKS:
        task = planted(seed, N, label_factor)
        ends, corners = judge(task).evaluate(descended(task).ends), judge(task).evaluate(all_corners(FACTORS))
        check_within_one_error_of_the_corners(ends, corners)
        assert starts_agree(ends)
        best = ends.descriptors[int(ends.risk.argmin())]
        assert float((best - task.right).abs().mean()) < 0.15


def test_the_checks_reject_a_search_that_does_not_move() -> None:
    task = planted(0, N, 0)
    corners = judge(task).evaluate(all_corners(FACTORS))
    with pytest.raises(AssertionError):
        check_within_one_error_of_the_corners(judge(task).evaluate(STARTS), corners)
    drawn = [torch.rand(3, FACTORS, generator=Generator().manual_seed(seed)) for seed, _ in TASKS]
    alike = [starts_agree(judge(planted(s, N, f)).evaluate(at)) for at, (s, f) in zip(drawn, TASKS, strict=True)]
    assert sum(alike) < 0.5 * len(TASKS)


def test_slope_equals_finite_differences() -> None:
    """d risk / d descriptor in float64, through the features, by central differences."""
    task = planted(0, 60, 0)
    wide = Planted(task.content.double(), task.factors.double(), task.labels, task.right)
    counted, penalty = CountedFeatures(wide, 60, 10**6), torch.tensor([-2.0], dtype=torch.float64)

    def risk(at: Tensor) -> Tensor:
        return loo_residuals(counted.tracked(at), wide.targets.values, penalty).square().sum(-1).mean()

    at = torch.full((1, FACTORS), 0.4, dtype=torch.float64).requires_grad_()
    slope = torch.autograd.grad(risk(at), at)[0][0]
    step = 1e-5 * torch.eye(FACTORS, dtype=torch.float64)
    with torch.no_grad():
        numeric = torch.stack([(risk(at + e) - risk(at - e)) / 2e-5 for e in step])
    torch.testing.assert_close(slope, numeric, rtol=1e-6, atol=1e-10)


def test_the_cube_holds_whatever_the_rate() -> None:
    """Steps larger than the cube end on its faces; the risk falls for all starts of the ordinary rate."""
    task = planted(1, N, 2)
    wild = descended(task, rate=5.0)
    for descent in (wild, descended(task)):
        assert bool(((descent.ends >= 0) & (descent.ends <= 1)).all())
        assert bool(((descent.ends == 0) | (descent.ends == 1)).any())
        grid = SearchConfig().log_penalties(task.targets)
        assert bool(((descent.log_penalty >= grid.min()) & (descent.log_penalty <= grid.max() + 1e-6)).all())
    descent = descended(task)
    ends = loo_residuals(task(descent.ends, None), task.targets.values, descent.log_penalty)
    assert bool((ends.square().sum(-1).mean(-1) < descent.risks[0]).all())
    assert descent.risks.shape == (25, len(STARTS))


def test_starts_do_not_see_each_other_and_pieces_change_nothing() -> None:
    task = planted(2, N, 1)
    together = descended(task)
    for s, start in enumerate(STARTS):
        penalty = judge(task).evaluate(STARTS).log_penalty[s : s + 1]
        alone = descend(judge(task), start[None], penalty, 25, 0.1)
        torch.testing.assert_close(alone.ends[0], together.ends[s], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(descended(task, max_pairs=70).ends, together.ends, rtol=1e-3, atol=1e-3)
    assert torch.equal(descended(task).ends, together.ends), "nothing is drawn"


def test_what_is_evaluated_is_counted() -> None:
    task = planted(2, N)
    asked = judge(task)
    descend(asked, STARTS, torch.zeros(len(STARTS)), 7, 0.1)
    assert (asked.features.gradient, asked.features.forward) == (7 * len(STARTS) * N, 0)


def test_way_to_default_sets_entries_back_one_by_one() -> None:
    task = planted(0, N, 0)
    end, default = torch.tensor([0.0, 0.9, 1.0, 0.8, 0.7]), torch.ones(FACTORS)
    found = way_to_default(judge(task), end, default)
    changed = (found.descriptors != end).sum(-1)
    assert changed.tolist() == [1, 1, 1, 1, 2, 3], "each alone, then more and more; the default itself is known"
    assert bool((found.descriptors[(found.descriptors != end)] == 1).all())
    assert found.descriptors[-1].tolist() == [0, 1, 1, 1, 1], "what the label is made of goes back last"
    assert len(way_to_default(judge(task), torch.tensor([0.0, 1, 1, 1, 1]), default)) == 1
    assert len(way_to_default(judge(task), torch.tensor([0.0, 1, 1, 1, 0.5]), default)) == 2
