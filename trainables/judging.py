"""What the harness judges a method on: a split's examples, or the episodes of a problem made of tasks.

Axes: B examples, T tasks, Q queries of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.invariance import Predict
from trainables.method import Method, Shares
from trainables.modules.group_sharing import energy_within, principal_cosines
from trainables.problems.problem import Batch, Kind, Problem, Split
from trainables.problems.tasks import TaskProblem

LEAST_TASKS = 50   # a score of fewer is noise
TEST_TASKS = 600   # at least, as is the custom; the tasks of the split where there are more


@dataclass(frozen=True, slots=True)
class Judged:
    """Some inputs, their targets, and how the method is asked for outputs.

    Args:
        predict: (B, *shape) -> (B, outputs), of these inputs or of changed ones in their places.
        labels: handed out for it, with those of the supports where the method is given them.
    """

    predict: Predict
    x: Tensor
    y: Tensor
    labels: int


def judged(
    problem: Problem, method: Method, adapts: bool, split: Split, limit: int | None, device: torch.device
) -> Iterator[Judged]:
    """The split in parts of one size, the same each time; one part where the problem is not made of tasks.

    Args:
        adapts: whether the method takes supports; one that does not predicts queries without them.
        limit: of examples; None: all of them.
    """
    if not isinstance(problem, TaskProblem):
        batch = problem.examples(split, limit)
        yield Judged(method.predict, batch.x.to(device), batch.y.to(device), len(batch.y))
        return
    tasks = max(TEST_TASKS, problem.size(split)) if limit is None else max(LEAST_TASKS, limit // problem.judged_queries)
    for support, query in problem.judged(split, tasks):
        context, x, y = Batch(*(t.to(device) for t in support)), query.x.to(device), query.y.to(device)
        ask = _adapting(method, context, tuple(x.shape[:2])) if adapts else method.predict
        labels = len(x) * (x.shape[1] + (support.x.shape[1] if adapts else 0))
        yield Judged(ask, x.flatten(0, 1), y.flatten(0, 1), labels)


def outcome(problem: Problem) -> Kind:
    """What outputs mean, also those of a task."""
    return problem.outcome if isinstance(problem, TaskProblem) else problem.kind


def score(problem: Problem, parts: Iterable[Judged]) -> tuple[float, bool]:
    """The mean score of parts of one size, and whether all outputs were finite."""
    scores, finite = [], []
    for part in parts:
        outputs = part.predict(part.x)
        scores.append(problem.score(outputs, part.y))
        finite.append(outputs.isfinite().all())  # an argmax over NaN is a class like any other
    return float(torch.stack(scores).mean()), bool(torch.stack(finite).all())


def structure(problem: Problem, method: Method) -> dict[str, float]:
    """How near a learned sharing pattern came to the planted one; nothing where either is missing.

    Cosines of the principal angles between the column spaces, largest first, `min_cosine` of all that the truth has,
    and the share of U's energy within the planted one.
    """
    if not isinstance(problem, TaskProblem) or not isinstance(method, Shares):
        return {}
    learned, truth = method.pattern(), problem.pattern()
    if learned is None or truth is None or len(learned) != len(truth):
        return {}
    learned = learned.cpu()
    cosines = principal_cosines(learned, truth)
    # A pattern of fewer columns than the truth has leaves directions out: those are at a right angle.
    least = float(cosines.min()) if len(cosines) == truth.shape[1] else 0.0
    angles = {f"cosine_{k}": value for k, value in enumerate(cosines.tolist(), 1)}
    return {"min_cosine": least, "energy": float(energy_within(learned, truth)), **angles}


def _adapting(method: Method, support: Batch, tasks: tuple[int, ...]) -> Predict:
    def predict(x: Tensor) -> Tensor:
        return method.predict(x.view(*tasks, *x.shape[1:]), support).flatten(0, 1)

    return predict
