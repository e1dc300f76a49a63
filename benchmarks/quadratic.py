"""A plug-in: the quadratic toy of Jaderberg et al. (2017), where only a change of settings reaches the top.

Parameters theta = (t0, t1), settings h = (h0, h1) in [0, 1]; the score Q = 1.2 - |theta|^2 is not what is descended but
h0 t0^2 + h1 t1^2, so that with h = (1, 0) one coordinate never moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from spaces.domain import Space
from tracking.cost import Phase
from trainables.evolving import EvolvingConfig
from trainables.method import Context, Slice, State
from trainables.problems.dataset import Dataset, SourceConfig, labelled
from trainables.problems.problem import Batch, Kind

TOP, START, RATE = 1.2, 0.9, 0.01
SPREAD = 0.2  # of a mutation, at most
Settings = tuple[float, float]


def first(member: int) -> Settings:
    """Half of the members move one coordinate, half the other."""
    return (1.0, 0.0) if member % 2 == 0 else (0.0, 1.0)


def mutated(h: Settings, generator: np.random.Generator) -> Settings:
    """Each moved by up to 0.2, within [0, 1]."""
    moves = generator.uniform(-SPREAD, SPREAD, 2)
    return tuple(float(np.clip(value + move, 0, 1)) for value, move in zip(h, moves, strict=True))  # type: ignore[return-value]


def descended(theta: Settings, h: Settings) -> Settings:
    """One update."""
    return tuple(t - RATE * 2 * k * t for t, k in zip(theta, h, strict=True))  # type: ignore[return-value]


def score(theta: Settings) -> float:
    return TOP - theta[0] ** 2 - theta[1] ** 2


class QuadraticConfig(EvolvingConfig):
    """Settings h, bred.

    Args:
        schedule: h of every generation so far.
        mutates: False is the control: losers still go on from winners, but nothing changes.
    """

    name: ClassVar[str] = "quadratic"
    space: ClassVar[Space] = Space({})

    schedule: tuple[Settings, ...] = ()
    mutates: bool = True

    @property
    def given(self) -> bool:
        return bool(self.schedule)

    def begun(self, generator: np.random.Generator, member: int) -> Self:
        return self.model_copy(update={"schedule": (first(member),)})

    def continued(self, generator: np.random.Generator, explores: bool) -> Self:
        last = self.schedule[-1]
        new = mutated(last, generator) if explores and self.mutates else last
        return self.model_copy(update={"schedule": (*self.schedule, new)})

    def whole(self) -> Self:
        return self.model_copy(update={"generations": len(self.schedule)})

    def build(self, context: Context) -> Quadratic:
        return Quadratic(context, self)


class Quadratic:
    """Descends through the settings of the generation that an update belongs to."""

    def __init__(self, context: Context, config: QuadraticConfig) -> None:
        self._context = context
        self._schedule = config.schedule or (first(0),)
        generations = config.generations if config.schedule else 1
        self._per = -(-context.horizon // generations)
        self._end = min(context.horizon, self._per * len(self._schedule))
        self._theta, self._cursor = (START, START), 0

    def step(self) -> Slice:
        for _ in range(min(self._context.slice_updates, self._end - self._cursor)):
            generation = min(self._cursor // self._per, len(self._schedule) - 1)
            self._theta = descended(self._theta, self._schedule[generation])
            self._cursor += 1
        with self._context.meter.unit("update", (8, 8), phase=Phase.TRAIN, examples=1):
            torch.ones(8, 8) @ torch.ones(8, 8)  # what is charged must be more than nothing
        return Slice({}, Phase.TRAIN, ready=True, done=self._cursor >= self._end)

    def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
        """Its distance from the top, on problems whose targets average to zero."""
        return torch.full((len(x), 2), (TOP - score(self._theta)) ** 0.5)

    def describe(self) -> Mapping[str, float]:
        return {"q": score(self._theta)}

    def state_dict(self) -> State:
        return {"theta": list(self._theta), "cursor": self._cursor}

    def load_state_dict(self, state: State) -> None:
        self._theta, self._cursor = (state["theta"][0], state["theta"][1]), state["cursor"]


class OppositesConfig(SourceConfig):
    """Targets +-(0.1, -0.1): in any units a prediction (c, c) has the squared error u^2 + c^2, and u is free of c."""

    name: ClassVar[str] = "opposites"

    def load(self, seed: int) -> Dataset:
        x = np.random.default_rng(seed).random((96, 1, 4, 4)).astype(np.float32)
        sign = np.where(np.arange(96) % 2, 1.0, -1.0)
        y = 0.1 * np.stack((sign, -sign), 1).astype(np.float32)
        plain = labelled(x[:64], np.arange(64) * 0, x[64:], np.arange(32) * 0, ("data",))
        return replace(plain, pool_y=y[:64], test_y=y[64:], kind=Kind.REGRESSION, outputs=2, classes=())
