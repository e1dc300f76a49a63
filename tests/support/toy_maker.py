"""A plug-in for tests: a maker that trains in milliseconds, and methods that use what it makes."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch
from pydantic import Field
from torch import Generator, Tensor

from spaces.domain import Space
from tracking.cost import Phase
from trainables.artefact import ArtefactSpec
from trainables.maker import MakerConfig, MakerContext
from trainables.method import Context, Role, Slice, State
from trainables.modules.recipe import RECIPE_DOMAINS, RecipeConfig
from trainables.modules.state import require_cursor, require_like
from trainables.modules.supervised import Supervised
from trainables.problems.problem import Batch
from trainables.problems.spec import ProblemSpec


class ToyMaker(MakerConfig):
    """A linear autoencoder of the source's inputs, by plain gradient descent.

    Args:
        explode_at: the update that raises; None never does.
        marker: path of a file; until it exists, the fourth update makes it and kills the process.
    """

    name: ClassVar[str] = "toy_maker"
    version: ClassVar[int] = 1

    horizon: int = Field(default=12, ge=1)
    batch_size: int = 8
    learning_rate: float = 0.01
    explode_at: int | None = None
    marker: str | None = None

    def build(self, context: MakerContext) -> _Autoencoder:
        return _Autoencoder(context, self)


class NeedsToy(RecipeConfig):
    """Trains the shared network on inputs from which the pre-trained autoencoder's bias has been taken."""

    name: ClassVar[str] = "needs_toy"
    space: ClassVar[Space] = Space(RECIPE_DOMAINS)

    updates: int = 12
    explode_at: int | None = None
    marker: str | None = None

    def needs(self, problem: ProblemSpec, data_seed: int) -> Mapping[str, ArtefactSpec]:
        settings = {"horizon": self.updates, "explode_at": self.explode_at, "marker": self.marker}
        source = ProblemSpec(label=problem.label, source=problem.source)  # without what the task wraps around it
        return {"bias": ArtefactSpec(maker="toy_maker", settings=settings, source=source, data_seed=data_seed)}

    def build(self, context: Context) -> Supervised:
        return _Centred(context, self)


class AlsoNeedsToy(NeedsToy):
    """Another row of the table that needs the same."""

    name: ClassVar[str] = "also_needs_toy"


class _Autoencoder:
    def __init__(self, context: MakerContext, config: ToyMaker) -> None:
        self._context, self._config, self._cursor = context, config, 0
        size = int(torch.tensor(context.problem.shape).prod())
        layer = context.build_network(lambda: torch.nn.Linear(size, size))
        self._weight, self._bias = layer.weight.detach().clone(), layer.bias.detach().clone()
        self._order = context.generator(Role.ORDER)

    def step(self) -> Slice:
        updates = min(self._context.slice_updates, self._context.horizon - self._cursor)
        loss = torch.stack([self._update() for _ in range(updates)]).mean()
        done = self._cursor == self._context.horizon
        return Slice({"pretrain/loss": float(loss)}, Phase.PRETRAIN, ready=False, done=done)

    def state_dict(self) -> State:
        return {
            "weight": self._weight.clone(), "bias": self._bias.clone(), "order": self._order.get_state(),
            "cursor": self._cursor,
        }

    def load_state_dict(self, state: State) -> None:
        require_like(self.state_dict(), state)
        require_cursor(state["cursor"], self._context.horizon)
        self._weight, self._bias = state["weight"].clone(), state["bias"].clone()
        self._order.set_state(state["order"].cpu())
        self._cursor = state["cursor"]

    def result(self) -> State:
        return {"weight": self._weight.clone(), "bias": self._bias.clone(), "updates": self._cursor}

    def _update(self) -> Tensor:
        if self._cursor == self._config.explode_at:
            raise RuntimeError("planted in the maker")
        if self._config.marker is not None and self._cursor == 3 and not Path(self._config.marker).exists():
            Path(self._config.marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        x = self._context.problem.unlabelled(self._order, self._config.batch_size).to(self._context.device)
        with self._context.meter.unit("update", x.shape, phase=Phase.PRETRAIN, examples=len(x)):
            flat = x.flatten(1)
            error = flat @ self._weight.T + self._bias - flat
            self._weight = self._weight - self._config.learning_rate * error.T @ flat / len(x)
            self._bias = self._bias - self._config.learning_rate * error.mean(0)
        self._cursor += 1
        return error.square().mean()


class _Centred(Supervised):
    def __init__(self, context: Context, config: NeedsToy) -> None:
        bias = context.artefacts["bias"].state["bias"].view(context.problem.shape)

        def centred(x: Tensor, generator: Generator) -> Tensor:
            return x - bias

        super().__init__(context, config, centred)
        self._centre = bias

    def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
        return super().predict(x - self._centre, support)
