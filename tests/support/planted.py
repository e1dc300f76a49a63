"""Digits with a planted rotation, and searches run on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest
import torch

from tracking.cost import Meter
from trainables.contract_trace import steps
from trainables.method import Context, Describes, Method, MethodConfig
from trainables.methods import implicit, score_function, unrolled
from trainables.modules.networks import Network, builder
from trainables.problems.array_problem import ArrayProblem
from trainables.problems.digits import Config as Digits
from trainables.problems.nuisance import Config as Nuisance
from trainables.problems.problem import Split
from trainables.problems.spec import in_memory

HALF_WIDTH_DEG = 45.0
HELD_OUT = (Split.OUTER, Split.SELECT, Split.TEST)
BILEVEL = pytest.mark.parametrize(
    "config", [unrolled.Config(), implicit.Config(), score_function.Config()],
    ids=["unrolled", "implicit", "score_function"],
)


class Run(NamedTuple):
    """A method as it begins, and the same after its last step."""

    start: Method
    end: Method


def digits(rotated: Sequence[Split]) -> ArrayProblem:
    """Turned by up to 45 degrees in these splits, upright in the others."""
    dataset = Digits().load(0)
    if rotated:
        dataset = Nuisance(ranges={"rotation": HALF_WIDTH_DEG}, on=tuple(rotated)).wrap(dataset, 0)
    return in_memory(dataset, 0, 0)


def trained(
    config: MethodConfig, problem: ArrayProblem, seed: int, updates: int = 600, network: Network = Network.SMALL_CNN
) -> Run:
    """Of a network of the house."""
    start, end = (config.build(_context(problem, seed, updates, network)) for _ in range(2))
    for _ in steps(end):
        pass
    return Run(start, end)


def learned(method: Method, name: str) -> float:
    assert isinstance(method, Describes)
    return method.describe()[name]


def strength(method: Method, operation: str) -> float:
    """Of a policy: probability of an operation times its range."""
    return learned(method, f"policy/{operation}/probability") * learned(method, f"policy/{operation}/range_deg")


def accuracy(method: Method, problem: ArrayProblem) -> float:
    x, y = problem.examples(Split.TEST)
    return float(problem.score(method.predict(x), y))


def _context(problem: ArrayProblem, seed: int, updates: int, network: Network) -> Context:
    meter = Meter("cpu")
    return Context(
        problem=problem.view(meter), horizon=updates, slice_updates=100, seed=seed, device=torch.device("cpu"),
        meter=meter, network=builder(network),
    )
