"""How well and how invariantly each class is recognised, beside how many examples of it there were to learn from.

Axes: B images, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Generator, Tensor

from tracking.record import NotFiniteError
from trainables.invariance import (
    Predict,
    Sampler,
    class_invariance,
    common_sampler,
    fitted_temperature,
    planted_sampler,
    size_slope,
)
from trainables.problems.array_problem import ArrayProblem
from trainables.problems.array_view import by_class
from trainables.problems.long_tailed import class_groups
from trainables.problems.problem import Batch, Problem, Split

PREFIX = "classes/"


def class_measures(
    problem: Problem, predict: Predict, test: Batch, outputs: Tensor, tuning: tuple[Tensor, Tensor],
    images: int, draws: int, generator: Generator,
) -> dict[str, float]:
    """Numbers under `classes/MEASURE/`: `of_K` for each label, head, middle, tail and their mean, and the slope.

    The nuisance is the planted one, applied to test images as they were before it; where none was planted, the actions
    that the truth names, as far as they change no label; where it names none, copies that every method gets alike (one
    action of the bank each).

    Args:
        test: the test split, and `outputs` (B, K) of it.
        tuning: outputs and labels of the select split, which the temperature is fitted on.
        images: per class, that the divergence is measured on.
        draws: of the nuisance for each image.
        generator: of the draws.

    Raises:
        NotFiniteError: an output for a moved image is not finite.
    """
    sizes = _sizes(problem)
    x, y = (t.to(outputs.device) for t in _images(problem, test, images))
    temperature = fitted_temperature(*tuning)
    moved = class_invariance(
        predict, x, y, _nuisance(problem), draws, generator, problem.outputs, temperature=temperature
    )
    present = torch.bincount(y.cpu(), minlength=problem.outputs) > 0
    if not all(bool(values[present].isfinite().all()) for values in moved):
        raise NotFiniteError("predict gives outputs that are not finite where the nuisance moves its inputs")
    right = (outputs.argmax(-1) == test.y).double()
    values = {
        "accuracy": by_class(right, test.y, problem.outputs).cpu(), "ekld": moved.ekld, "ekld_scaled": moved.scaled,
        "js": moved.divergence, "consistency": moved.consistency,
    }
    found = {f"{PREFIX}temperature": temperature}
    found |= {f"{PREFIX}size/of_{label}": float(size) for label, size in enumerate(sizes)}
    for name, of in values.items():
        found |= {f"{PREFIX}{name}/{part}": value for part, value in summary(of, sizes).items()}
    for name in ("ekld", "ekld_scaled"):
        if (slope := size_slope(values[name], sizes)) is not None:
            found[f"{PREFIX}{name}/slope"] = slope
    return found


def summary(values: Tensor, sizes: Tensor) -> dict[str, float]:
    """Each class, the mean over all, and over head, middle and tail; classes without a value are left out."""
    known = values.isfinite()
    found = {f"of_{label}": float(values[label]) for label in range(len(values)) if known[label]}
    groups: Mapping[str, list[int]] = {"mean": list(range(len(values))), **class_groups(sizes.numpy())}
    for name, labels in groups.items():
        inside = values[labels][known[labels]]
        if len(inside):
            found[name] = float(inside.mean())
    return found


def _sizes(problem: Problem) -> Tensor:
    """Examples of each class to learn from, (K,)."""
    if isinstance(problem, ArrayProblem):
        return problem.class_sizes()
    y = torch.cat([problem.examples(split).y for split in (Split.TRAIN, Split.OUTER)])
    return torch.bincount(y, minlength=problem.outputs)


def _images(problem: Problem, test: Batch, per_class: int) -> Batch:
    if isinstance(problem, ArrayProblem) and problem.planted:
        return problem.untouched(per_class)
    rows = torch.cat([(test.y == label).nonzero()[:per_class, 0] for label in range(problem.outputs)])
    return Batch(test.x[rows], test.y[rows])


def _nuisance(problem: Problem) -> Sampler:
    truth, bank = problem.truth, problem.transform_bank
    planted = problem.nuisances if isinstance(problem, ArrayProblem) else {}
    # What a source says to be safe was planted by nobody: it stands in for T only where nothing was.
    if ranges := planted or (truth and truth.invariant):
        return planted_sampler(bank, ranges)
    # What the label is made of changes it: an answer that follows is right, not a lack of invariance.
    harmful = {} if truth is None else truth.harmful
    return common_sampler(tuple(action for action in bank if action.name not in harmful), {})
