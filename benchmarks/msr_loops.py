"""Plain loops over tasks that the batched outer update is measured against; each does the same update."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Generator, Tensor
from torch.func import functional_call

from trainables.modules.inner_loop import InnerLoop
from trainables.modules.meta_training import MetaTraining
from trainables.problems.problem import LEARNABLE, Batch, Episode
from trainables.problems.tasks import TaskProblem


def unbatched(problem: TaskProblem, method: MetaTraining) -> Callable[[], object]:
    """The method's own inner loop, one task after the other: the same code without vmap."""
    inner = InnerLoop(method.network, problem.loss, 1)
    return _looped(problem, method, lambda x, y: inner.adapted(method.fast, method.slow, method.rates, Batch(x, y)))


def loop(problem: TaskProblem, method: MetaTraining) -> Callable[[], object]:
    """The same network one task after the other, with ordinary autograd."""

    def adapted(x: Tensor, y: Tensor) -> dict[str, Tensor]:
        fast, rates = method.fast, method.rates
        loss = problem.loss(functional_call(method.network, {**method.slow, **fast}, (x,)), y).mean()
        gradients = torch.autograd.grad(loss, list(fast.values()), create_graph=True)
        return {n: fast[n] - rates[n] * g for n, g in zip(fast, gradients, strict=True)}

    return _looped(problem, method, adapted)


def _looped(
    problem: TaskProblem, method: MetaTraining, adapted: Callable[[Tensor, Tensor], dict[str, Tensor]]
) -> Callable[[], object]:
    view, generator = problem.view(), Generator().manual_seed(0)
    optimiser = torch.optim.Adam(_learned(method), lr=1e-3, foreach=True)

    def update() -> None:
        total = torch.zeros(())
        for sx, sy, qx, qy in _tasks(view.episodes(generator, 32, *LEARNABLE)):
            weights = {**method.slow, **adapted(sx, sy)}
            total = total + problem.loss(functional_call(method.network, weights, (qx,)), qy).mean()
        optimiser.zero_grad()
        (total / 32).backward()
        optimiser.step()

    return update


def published(problem: TaskProblem, method: MetaTraining) -> Callable[[], object] | None:
    """One task after the other through `higher`, as the published code does it; None where it is not installed."""
    try:
        import higher
    except ImportError:
        return None
    network, named = method.network, dict(method.network.named_parameters())
    inner = torch.optim.SGD([{"params": [named[name]]} for name in method.raw_rates], lr=0.1)

    def descend(episode: Episode) -> None:
        for sx, sy, qx, qy in _tasks(episode):
            with higher.innerloop_ctx(
                network, inner, copy_initial_weights=False, override={"lr": list(method.rates.values())}
            ) as (adapting, descent):
                descent.step(problem.loss(adapting(sx), sy).mean())
                (problem.loss(adapting(qx), qy).mean() / 32).backward()

    view, generator = problem.view(), Generator().manual_seed(0)
    optimiser = torch.optim.Adam(_learned(method), lr=1e-3, foreach=True)

    def update() -> None:
        optimiser.zero_grad()
        descend(view.episodes(generator, 32, *LEARNABLE))
        optimiser.step()

    return update


def _learned(method: MetaTraining) -> list[Tensor]:
    return [*method.fast.values(), *method.slow.values(), *method.raw_rates.values()]


def handwritten(problem: TaskProblem, method: MetaTraining) -> Callable[[], object]:
    """The loop as short as it can be written for this one layer."""
    view, generator = problem.view(), Generator().manual_seed(0)
    starts = method.slow["layer.sharing.pattern"], method.fast["layer.filter"]
    pattern, v = (start.detach().clone().requires_grad_() for start in starts)
    rate = torch.tensor(0.1, requires_grad=True)
    optimiser = torch.optim.Adam([pattern, v, rate], lr=1e-3, foreach=True)

    def update() -> None:
        total = torch.zeros(())
        for sx, sy, qx, qy in _tasks(view.episodes(generator, 32, *LEARNABLE)):
            inner = (sx @ (pattern @ v).view(68, 70).T - sy).square().mean()
            gradient, = torch.autograd.grad(inner, v, create_graph=True)
            total = total + (qx @ (pattern @ (v - rate * gradient)).view(68, 70).T - qy).square().mean()
        optimiser.zero_grad()
        (total / 32).backward()
        optimiser.step()

    return update


def _tasks(episode: Episode) -> Iterator[tuple[Tensor, ...]]:
    return zip(*episode.support, *episode.query, strict=True)
