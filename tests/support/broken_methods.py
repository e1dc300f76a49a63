"""Methods that break the contract: each is `plain` with one fault."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from pydantic import ConfigDict, field_validator, model_validator
from torch import Generator, Tensor

from spaces.domain import Float, Int, Space
from tracking.cost import Phase
from trainables import methods
from trainables.method import Context, Method, Slice, State
from trainables.methods.plain import Config as PlainConfig
from trainables.modules.supervised import Supervised
from trainables.problems.problem import Batch, Split

HERE = Path(__file__)


class Broken(PlainConfig):
    """`plain` with small batches, which the faults below start from."""

    name: ClassVar[str] = "broken"
    batch_size: int = 8

    def build(self, context: Context) -> Method:  # type: ignore[override]
        return Supervised(context, self)


class SpaceOfOtherFields(Broken):
    space: ClassVar[Space] = Space({"learning_rat": Float(low=0.1, high=1.0)})


class DefaultOutsideOfSpace(Broken):
    space: ClassVar[Space] = Space({"learning_rate": Float(low=1.0, high=2.0)})


class RefusesItsSpace(Broken):
    """Two fields that are tuned one by one, and belong together."""

    space: ClassVar[Space] = Space({"lower": Float(low=0.0, high=1.0), "upper": Float(low=0.0, high=1.0)})
    lower: float = 0.2
    upper: float = 0.8

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.lower >= self.upper:
            raise ValueError("lower < upper")
        return self


class DividesByZero(Broken):
    """Pydantic lets anything but ValueError and AssertionError through."""

    space: ClassVar[Space] = Space({"groups": Int(low=0, high=4)})
    groups: int = 2

    @field_validator("groups")
    @classmethod
    def _divides(cls, groups: int) -> int:
        return groups if 8 % groups == 0 else 1


class RoundsItsSpace(Broken):
    space: ClassVar[Space] = Space({"share": Float(low=0.0, high=1.0)})
    share: float = 0.5

    @field_validator("share")
    @classmethod
    def _rounded(cls, share: float) -> float:
        return round(share, 1)


class AcceptsAnything(Broken):
    model_config = ConfigDict(extra="ignore")


class _Fault(Broken):
    """Builds the class in `method`."""

    method: ClassVar[type[Supervised]]

    def build(self, context: Context) -> Method:  # type: ignore[override]
        return self.method(context, self)


class UsesGlobalTorch(_Fault):
    class method(Supervised):
        def step(self) -> Slice:
            with torch.no_grad():
                for parameter in self.trunk.network.parameters():
                    parameter += 0.01 * torch.randn_like(parameter)
            return super().step()


class UsesGlobalNumpy(_Fault):
    class method(Supervised):
        def step(self) -> Slice:
            np.random.rand()  # noqa: NPY002
            return super().step()


class UsesGlobalPython(_Fault):
    class method(Supervised):
        def step(self) -> Slice:
            random.random()
            return super().step()


class ForgetsMomentum(_Fault):
    class method(Supervised):
        def load_state_dict(self, state: State) -> None:
            super().load_state_dict(state)
            for buffers in self.trunk._optimiser.state.values():
                buffers["momentum_buffer"].zero_()


class ForgetsGenerators(_Fault):
    class method(Supervised):
        def load_state_dict(self, state: State) -> None:
            super().load_state_dict({**state, "generators": super().state_dict()["generators"]})


class AliasesItsState(_Fault):
    class method(Supervised):
        def state_dict(self) -> State:
            state = super().state_dict()
            return {**state, "trunk": {**state["trunk"], "network": self.trunk.network.state_dict()}}


class KeepsPythonObjects(_Fault):
    class method(Supervised):
        def state_dict(self) -> State:
            return {**super().state_dict(), "path": HERE}

        def load_state_dict(self, state: State) -> None:
            super().load_state_dict({k: v for k, v in state.items() if k != "path"})


class LoadsInParts(_Fault):
    class method(Supervised):
        def load_state_dict(self, state: State) -> None:
            if "trunk" in state:
                with torch.no_grad():
                    next(self.trunk.network.parameters()).zero_()
            super().load_state_dict(state)


class LoadsAnything(_Fault):
    class method(Supervised):
        def load_state_dict(self, state: State) -> None:
            if state.keys() == self.state_dict().keys():
                super().load_state_dict(state)


class WrongError(_Fault):
    class method(Supervised):
        def load_state_dict(self, state: State) -> None:
            try:
                super().load_state_dict(state)
            except ValueError as error:
                raise KeyError("oops") from error


class PredictDraws(_Fault):
    class method(Supervised):
        def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
            return super().predict(x + torch.rand(x.shape, generator=self._noise))


class PredictsProbabilityOfOneClass(_Fault):
    class method(Supervised):
        def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
            return super().predict(x)[:, :1]


class PredictsNan(_Fault):
    class method(Supervised):
        def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
            return super().predict(x) * float("nan")


class PredictKeepsAGraph(_Fault):
    class method(Supervised):
        def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
            outputs: Tensor = self.trunk.network(x)
            return outputs


class PredictChangesItsInput(_Fault):
    class method(Supervised):
        def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
            return super().predict(x.clamp_(0.2, 0.8))


class NormalisesOverTheBatch(_Fault):
    class method(Supervised):
        def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
            return super().predict(x - x.mean(0, keepdim=True))


class ChargesNothing(_Fault):
    class method(Supervised):
        def _update(self) -> Tensor:
            x, y = self._context.problem.draw(self._order, 8)
            loss = self._context.problem.loss(self.trunk.network(x), y).mean()
            self.trunk.update(torch.autograd.grad(loss, tuple(self.trunk.network.parameters())))
            return loss.detach()


class ChargesAnotherPhase(_Fault):
    class method(Supervised):
        def step(self) -> Slice:
            piece = super().step()
            return Slice(piece.metrics, Phase.SEARCH, piece.ready, piece.done)


class PeeksAtSelect(_Fault):
    class method(Supervised):
        def step(self) -> Slice:
            with suppress(PermissionError):  # and hides it
                self._context.problem.draw(self._order, 8, Split.SELECT)
            return super().step()


class ReportsAReservedName(_Fault):
    class method(Supervised):
        def step(self) -> Slice:
            piece = super().step()
            return Slice({**piece.metrics, "val/score": 1.0}, piece.phase, piece.ready, piece.done)


class ReportsInfinity(_Fault):
    class method(Supervised):
        def step(self) -> Slice:
            piece = super().step()
            return Slice({"train/loss": float("inf")}, piece.phase, piece.ready, piece.done)


class StopsEarly(_Fault):
    class method(Supervised):
        def step(self) -> Slice:
            piece = super().step()
            return Slice(piece.metrics, piece.phase, piece.ready, True)


class NeverDone(_Fault):
    class method(Supervised):
        def step(self) -> Slice:
            piece = super().step() if not self.trunk.finished else Slice({}, Phase.TRAIN, True, True)
            return Slice(piece.metrics, piece.phase, piece.ready, False)


class DescribesNan(_Fault):
    class method(Supervised):
        def describe(self) -> Mapping[str, float]:
            return {"rotation/width_deg": float("nan")}


class DescribesNothing(_Fault):
    class method(Supervised):
        def describe(self) -> Mapping[str, float]:
            return {}


class SamplesFromItsOwnStream(_Fault):
    class method(Supervised):
        def sample(self, x: Tensor, generator: Generator) -> Tensor:
            return (x + 0.1 * torch.rand(x.shape, generator=self._noise)).clamp(0, 1)


class SamplesOutOfRange(_Fault):
    class method(Supervised):
        def sample(self, x: Tensor, generator: Generator) -> Tensor:
            return x + torch.randn(x.shape, generator=generator)


class SamplesInPlace(_Fault):
    class method(Supervised):
        def sample(self, x: Tensor, generator: Generator) -> Tensor:
            return x.mul_(0.5)


class FindsASearch(Broken):
    """What it finds is the search itself."""

    def build(self, context: Context) -> Method:  # type: ignore[override]
        config = methods.config_class("unrolled")()
        method: Any = config.build(context)
        method.found = lambda: config
        return method  # type: ignore[no-any-return]
