"""The loops that the meta-learner's speed is measured against do the same update as the meta-learner."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from msr import ONE_DIMENSIONAL, problem_of, trained
from msr_loops import handwritten, loop, published, unbatched
from torch import Generator

from trainables.modules.inner_loop import InnerLoop
from trainables.modules.meta_training import MetaTraining
from trainables.problems.patterns import Layer
from trainables.problems.problem import LEARNABLE
from trainables.problems.tasks import TaskProblem


@pytest.mark.parametrize("side", [unbatched, loop, published, handwritten])
def test_every_loop_descends_the_same_gradient(
    side: Callable[[TaskProblem, MetaTraining], Callable[[], object] | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = problem_of(Layer.RANK1)
    method, _ = trained(problem, ONE_DIMENSIONAL[0], 1, 0)
    support, query = problem.view().episodes(Generator().manual_seed(0), 32, *LEARNABLE)
    inner = InnerLoop(method.network, problem.loss, 1)
    pattern = method.slow["layer.sharing.pattern"]
    seen: list[torch.Tensor] = []

    class Watching(torch.optim.Adam):
        def step(self, closure: object = None) -> None:  # type: ignore[override]
            seen.extend(p.grad.clone() for g in self.param_groups for p in g["params"] if p.shape == pattern.shape)

    with torch.no_grad():
        method.raw_rates["layer.filter"].fill_(0.1)  # the rate that the hand-written one begins with
    loss = inner.query_losses(method.fast, method.slow, method.rates, support, query).mean()
    expected, = torch.autograd.grad(loss, [pattern])
    monkeypatch.setattr(torch.optim, "Adam", Watching)
    update = side(problem, method)
    if update is None:
        pytest.skip("higher is not installed")
    update()
    assert torch.allclose(seen[0], expected, rtol=1e-4, atol=1e-9)
