"""A plug-in with a method and a problem that do next to nothing: what remains is the platform's own cost."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from spaces.domain import Float, Space
from tracking.cost import Phase
from trainables.method import Context, MethodConfig, Slice, State
from trainables.problems.dataset import Dataset, SourceConfig, labelled
from trainables.problems.problem import Batch


class TrivialConfig(MethodConfig):
    """One update that multiplies two small matrices, and then sleeps.

    Args:
        seconds: how long.
    """

    name: ClassVar[str] = "trivial"
    space: ClassVar[Space] = Space({"learning_rate": Float(low=0.01, high=1.0, log=True)})
    learning_rate: float = 0.1
    seconds: float = 0.0

    def build(self, context: Context) -> Trivial:
        return Trivial(context, self)


class Trivial:
    """Reports a score that depends on its learning rate alone."""

    def __init__(self, context: Context, config: TrivialConfig) -> None:
        self._context, self._config, self._cursor = context, config, 0

    def step(self) -> Slice:
        self._cursor += self._context.slice_updates
        with self._context.meter.unit("update", (8, 8), phase=Phase.TRAIN, examples=1):
            torch.ones(8, 8) @ torch.ones(8, 8)
        time.sleep(self._config.seconds)
        return Slice({}, Phase.TRAIN, ready=True, done=self._cursor >= self._context.horizon)

    def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
        return self._config.learning_rate * x.flatten(1)[:, : self._context.problem.outputs]

    def describe(self) -> Mapping[str, float]:
        return {}

    def state_dict(self) -> State:
        return {"cursor": self._cursor}

    def load_state_dict(self, state: State) -> None:
        self._cursor = state["cursor"]


class NoiseConfig(SourceConfig):
    """4x4 grey noise with two classes."""

    name: ClassVar[str] = "noise"

    def load(self, seed: int) -> Dataset:
        generator = np.random.default_rng(seed)
        x = generator.integers(0, 256, (96, 1, 4, 4), dtype=np.uint8)
        y = np.arange(96) % 2
        return labelled(x[:64], y[:64], x[64:], y[64:], ("even", "odd"))
