"""A plug-in for tests: methods that break in known ways, and a network."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from spaces.domain import Space
from tests.support.memory import memory
from trainables.method import Context, MethodConfig, Slice
from trainables.modules.recipe import RECIPE_DOMAINS, RecipeConfig
from trainables.modules.supervised import Supervised
from trainables.problems.problem import Batch

GULP_MEBIBYTES, GULP_SECONDS = 32, 0.02
PATIENCE_SECONDS = 10.0


class Explodes(MethodConfig):
    """Raises in its first step."""

    name: ClassVar[str] = "explodes"
    space: ClassVar[Space] = Space({})

    def build(self, context: Context) -> Supervised:
        return _Exploding(context, RecipeConfig())


class NotANumber(RecipeConfig):
    """Predicts NaN after its first slice, with a finite score until then."""

    name: ClassVar[str] = "not_a_number"
    space: ClassVar[Space] = Space(RECIPE_DOMAINS)

    def build(self, context: Context) -> Supervised:
        return _NotANumber(context, self)


class DiesOnce(RecipeConfig):
    """Kills its own worker in the first step, unless a file shows that it did so before.

    Args:
        marker: path of that file.
    """

    name: ClassVar[str] = "dies_once"
    space: ClassVar[Space] = Space(RECIPE_DOMAINS)
    marker: str

    def build(self, context: Context) -> Supervised:
        return _Dying(context, self)


class HangsOnce(RecipeConfig):
    """Never comes back from its first step, unless a file shows that it did so before.

    Args:
        marker: path of that file.
        deaf: stop the whole process, so that it cannot even end itself.
    """

    name: ClassVar[str] = "hangs_once"
    space: ClassVar[Space] = Space(RECIPE_DOMAINS)
    marker: str
    deaf: bool = False

    def build(self, context: Context) -> Supervised:
        return _Hanging(context, self)


class Exits(RecipeConfig):
    """Calls `sys.exit` in its first step."""

    name: ClassVar[str] = "exits"
    space: ClassVar[Space] = Space(RECIPE_DOMAINS)

    def build(self, context: Context) -> Supervised:
        return _Exiting(context, self)


class Greedy(RecipeConfig):
    """Takes more and more memory in its first step and gives none back; raises where nobody ends it in time.

    Args:
        mebibytes: in use on the whole machine, after which it takes no more, so that no machine is hurt.
    """

    name: ClassVar[str] = "greedy"
    space: ClassVar[Space] = Space(RECIPE_DOMAINS)
    mebibytes: int

    def build(self, context: Context) -> Supervised:
        return _Greedy(context, self)


class _Hanging(Supervised):
    def __init__(self, context: Context, config: HangsOnce) -> None:
        super().__init__(context, config)
        self._marker, self._deaf = Path(config.marker), config.deaf

    def step(self) -> Slice:
        if not self._marker.exists():
            self._marker.touch()
            if self._deaf:
                os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(3600)
        return super().step()


class _Exiting(Supervised):
    def step(self) -> Slice:
        sys.exit("enough")


class _Dying(Supervised):
    def __init__(self, context: Context, config: DiesOnce) -> None:
        super().__init__(context, config)
        self._marker = Path(config.marker)

    def step(self) -> Slice:
        if not self._marker.exists():
            self._marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step()


class _Greedy(Supervised):
    def __init__(self, context: Context, config: Greedy) -> None:
        super().__init__(context, config)
        self._mebibytes = config.mebibytes

    def step(self) -> Slice:
        taken: list[bytes] = []
        while memory()[0] < self._mebibytes << 20:
            taken.append(b"\1" * (GULP_MEBIBYTES << 20))  # written to: memory that is only reserved counts nowhere
            time.sleep(GULP_SECONDS)
        time.sleep(PATIENCE_SECONDS)
        raise RuntimeError(f"{GULP_MEBIBYTES * len(taken)} MiB were taken and nobody minded")


class _Exploding(Supervised):
    def step(self) -> Slice:
        raise RuntimeError("planted")


class _NotANumber(Supervised):
    def step(self) -> Slice:
        piece = super().step()
        return Slice({"loss": float("nan")}, piece.phase, piece.ready, piece.done)

    def predict(self, x: Tensor, support: Batch | None = None) -> Tensor:
        return super().predict(x, support)


def _linear(shape: tuple[int, ...], outputs: int) -> nn.Module:
    size = 1
    for length in shape:
        size *= length
    return nn.Sequential(nn.Flatten(), nn.Linear(size, outputs))


NETWORKS = {"linear": _linear}
