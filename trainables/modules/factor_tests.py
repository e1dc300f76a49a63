"""Does the task want invariance to a factor? Paired tests on leave-one-out losses with that factor ignored or kept.

Axes: K factors, n examples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.stats import t as student
from torch import Tensor

from trainables.modules.evaluated import Evaluated, Targets

CONFIDENCE = 0.95
# Leave-one-out losses share their training examples: with the plain standard error a test at 5 % cries wolf in 8 to
# 10 % of tasks without a difference (measured; see the tests). With few examples that is not wide enough: at a stated
# 5 %, two to ten classes, up to 23 % of tasks with 6 examples, 19 with 8, 16 with 12, 12 with 24, 8 with 40, 7 with 50.
WIDENED = 1.25
FEWEST = 50  # examples that a test is made of


@dataclass(frozen=True, slots=True)
class FactorTest:
    """One entry of a descriptor at 0 (kept) against 1 (ignored), the others as given.

    Args:
        gain: by how much the leave-one-out loss falls where the factor is ignored, as a share of the loss of a constant
            (the targets' variance), so that it is a gain in R^2; above 0 the task wants invariance.
        low, high: its 95 % t-interval over examples, of the widened standard error. p: of the two-sided t-test with
            it, before any correction. All None below 50 examples: too few to say.
        points: gain in leave-one-out accuracy, in percent points; None for regression.
    """

    gain: float
    low: float | None
    high: float | None
    p: float | None
    points: float | None


def factor_tests(kept: Evaluated, ignored: Evaluated, targets: Targets) -> list[FactorTest]:
    """K tests.

    Args:
        kept: of K descriptors, the k-th with entry k at 0; ignored: the same with entry k at 1.
    """
    accuracies = [None] * len(kept) if kept.accuracy is None or ignored.accuracy is None else (
        (100 * (ignored.accuracy - kept.accuracy)).tolist()
    )
    centre = targets.weighted(targets.values.mT).mean(-1)
    constant = float(targets.weighted((targets.values - centre).square().sum(-1)).mean())
    return [
        _test(a, b, constant, points) for a, b, points in zip(kept.losses, ignored.losses, accuracies, strict=True)
    ]


def _test(kept: Tensor, ignored: Tensor, constant: float, points: float | None) -> FactorTest:
    differences, count = (kept - ignored).double(), len(kept)
    if count < FEWEST:
        return FactorTest(float(differences.mean()) / constant if constant > 0 else 0.0, None, None, None, points)
    mean, error = float(differences.mean()), WIDENED * float(differences.std()) / math.sqrt(count)
    if error == 0 or constant <= 0:
        return FactorTest(0.0, 0.0, 0.0, 1.0, points)
    half = float(student.ppf((1 + CONFIDENCE) / 2, count - 1)) * error
    p = float(2 * student.sf(abs(mean) / error, count - 1))
    return FactorTest(mean / constant, (mean - half) / constant, (mean + half) / constant, p, points)


def split(judged: Evaluated, factors: int) -> tuple[Evaluated, Evaluated]:
    """(kept, ignored) of an evaluation of 2 K descriptors: every entry at 0, then every entry at 1."""
    parts = []
    for rows in (torch.arange(factors), torch.arange(factors, 2 * factors)):
        accuracy = None if judged.accuracy is None else judged.accuracy[rows]
        parts.append(Evaluated(judged.descriptors[rows], judged.losses[rows], judged.log_penalty[rows], accuracy))
    return parts[0], parts[1]
