"""Meta-learners on layer problems, without a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tracking.cost import Meter
from trainables import methods
from trainables.method import Context
from trainables.modules.meta_training import MetaTraining
from trainables.modules.networks import builder
from trainables.problems.patterns import Layer
from trainables.problems.problem import Problem
from trainables.problems.spec import ProblemSpec
from trainables.problems.tasks import TaskProblem

FULL = {"architecture": "dense", "pattern": "full"}


def problem_of(folder: Path, layer: Layer, **fields: int) -> TaskProblem:
    built = ProblemSpec(label="x", source={"name": "layers", "layer": layer, **fields}).build(0, 0, folder)
    assert isinstance(built, TaskProblem)
    return built


def method_of(problem: Problem, name: str, updates: int, **settings: Any) -> MetaTraining:
    meter = Meter("cpu")
    context = Context(
        problem=problem.view(meter), horizon=updates, slice_updates=updates, seed=0, device=torch.device("cpu"),
        meter=meter, network=builder("mlp"),
    )
    method = methods.config_class(name).model_validate(settings).build(context)
    assert isinstance(method, MetaTraining)
    return method


def trained(problem: Problem, name: str, updates: int, **settings: Any) -> MetaTraining:
    method = method_of(problem, name, updates, **settings)
    method.step()
    return method


def pattern_of(method: MetaTraining) -> torch.Tensor:
    return next(value for name, value in method.slow.items() if name.endswith("pattern")).detach()
