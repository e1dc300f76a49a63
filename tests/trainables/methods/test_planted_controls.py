"""Slow: where rotation harms, and where the labels of `outer` mean nothing, bilevel searches do as they should.

The other half, that rotation is found where it is missing, is in test_planted_rotation.py.
"""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from scipy.stats import t as student

from spaces.transforms import Operation
from tests.support.planted import BILEVEL, HELD_OUT, digits, learned, strength, trained
from trainables.method import MethodConfig
from trainables.methods import implicit, score_function, unrolled
from trainables.modules.policy_recipe import SearchConfig
from trainables.modules.policy_space import OPERATIONS
from trainables.problems.array_problem import ArrayProblem
from trainables.problems.array_view import Rows
from trainables.problems.digits import Config as Digits
from trainables.problems.problem import Split
from trainables.problems.spec import in_memory
from trainables.problems.transform_label import Config as TransformLabel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
SEEDS, ERRORS = 5, 2.0  # standard errors that a mean drift may have
FALSE_ALARM = 2 * float(student.sf(ERRORS, SEEDS - 1))  # .12 per method and draw of seeds; these seeds are fixed


def which_rotation() -> ArrayProblem:
    """The label is by how much a digit was turned."""
    dataset = TransformLabel(operation="rotation", values=(-30.0, -10.0, 10.0, 30.0)).wrap(Digits().load(0), 0)
    return in_memory(dataset, 0, 0)


def with_shuffled_outer(seed: int) -> ArrayProblem:
    """Turned digits in `outer` as in the planted problem, under each other's labels."""
    problem = digits(HELD_OUT)
    x, y = problem._learnable[Split.OUTER]
    problem._learnable[Split.OUTER] = Rows(x, np.random.default_rng(seed).permutation(y))
    return problem


def drifts(config: MethodConfig, shuffled: bool) -> list[float]:
    """log of rotation's range at the end over that at the start, for each seed."""
    found = []
    for seed in range(SEEDS):
        problem = with_shuffled_outer(seed) if shuffled else digits(HELD_OUT)
        start, end = (learned(m, "policy/rotation/range_deg") for m in trained(config, problem, seed))
        found.append(math.log(end / start))
    return found


def in_errors(values: list[float]) -> float:
    return abs(statistics.fmean(values)) / (statistics.stdev(values) / math.sqrt(len(values)))


@pytest.mark.parametrize("config", [
    unrolled.Config(), score_function.Config(),
    pytest.param(implicit.Config(), marks=pytest.mark.xfail(
        strict=True, reason="narrows rotation below the gap between labels, and then draws it more often",
    )),
], ids=["unrolled", "score_function", "implicit"])
def test_a_rotation_that_destroys_the_label_falls(config: MethodConfig) -> None:
    """Its expected strength, probability times range, to less than half of that at the start."""
    start, end = trained(config, which_rotation(), 0)
    assert strength(end, "rotation") < strength(start, "rotation") / 2


@BILEVEL
def test_a_flip_that_is_the_label_is_drawn_less(config: SearchConfig) -> None:
    """It has no range to hide in. From 1 in 11 to .054 (implicit), .003 and .0035 (of .026) when this was written."""
    dataset = TransformLabel(operation="flip_vertical", values=(0.0, 1.0)).wrap(Digits().load(0), 0)
    flips = config.model_copy(update={"operations": (*OPERATIONS, Operation.FLIP_VERTICAL)})
    start, end = trained(flips, in_memory(dataset, 0, 0), 0)
    name = "policy/flip_vertical/probability"
    assert learned(end, name) < 0.75 * learned(start, name)


@BILEVEL
def test_labels_that_mean_nothing_move_rotation_nowhere(config: MethodConfig) -> None:
    """No systematic drift of its range over seeds; on the true labels of the same images there is one."""
    assert in_errors(drifts(config, shuffled=True)) < ERRORS
    assert in_errors(drifts(config, shuffled=False)) > ERRORS
