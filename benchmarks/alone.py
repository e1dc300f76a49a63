"""A method run to its end without Ray, for benchmarks that compare methods update by update."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Generator

from tracking.cost import Ledger, Meter, Phase
from trainables.artefact import Artefact
from trainables.invariance import averaged
from trainables.method import Augments, Context, Method, MethodConfig, NetworkBuilder, stable_seed
from trainables.modules.networks import builder
from trainables.problems.problem import Planted, Problem, Split

SLICES = 4


@dataclass(frozen=True, slots=True)
class Run:
    """A method that has ended, and what it took."""

    method: Method
    ledger: Ledger
    seconds: float

    @property
    def flops(self) -> int:
        """Without what only selects."""
        return sum(cost.flops for phase, cost in self.ledger.phases.items() if phase is not Phase.SELECT)

    def score(self, problem: Problem, split: Split) -> float:
        x, y = problem.examples(split)
        return float(problem.score(self.method.predict(x), y))

    def averaged_score(self, problem: Problem, split: Split, copies: int) -> float:
        """Over copies of the method's own distribution; a method without one averages nothing."""
        if not isinstance(self.method, Augments):
            return self.score(problem, split)
        x, y = problem.examples(split)
        generator = Generator().manual_seed(stable_seed("copies", split.value))
        outputs = averaged(self.method.predict, self.method.sample, x, copies, generator)
        return float(problem.score(outputs, y))


def run(
    config: MethodConfig, problem: Problem, seed: int, horizon: int, network: NetworkBuilder | None = None,
    artefacts: Mapping[str, Artefact] | None = None,
) -> Run:
    """On the CPU; what the method needs is made before and not charged here.

    Args:
        seed: of the method.
        horizon: updates of one training.
    """
    meter = Meter("cpu")
    context = Context(
        problem=problem.view(meter), horizon=horizon, slice_updates=-(-horizon // SLICES), seed=seed,
        device=torch.device("cpu"), meter=meter, network=network or builder("small_cnn"), artefacts=artefacts or {},
        originals=problem.originals() if config.told and isinstance(problem, Planted) else None,
    )
    method = config.build(context)
    began = time.perf_counter()
    while not method.step().done:
        pass
    return Run(method, meter.ledger(), time.perf_counter() - began)
