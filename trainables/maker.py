"""The contract between the harness and a maker: it trains one thing that many trials then use.

Call order: `MakerConfig.build(context)`, then `load_state_dict` (on resume only), then `step` until a slice says
`done`, then `result`; `state_dict` and `result` may be called between any two steps and change nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Generator, Tensor, nn

from tracking.cost import Meter
from tracking.errors import UserError
from trainables.method import Role, Slice, State, drawn, stable_seed
from trainables.problems.problem import Action, ByClass, Kind, Problem, View
from trainables.team import ALONE, Team


class Pool(Protocol):
    """What a maker sees of its source: inputs and their group actions. No label, no other split, no truth."""

    @property
    def shape(self) -> tuple[int, ...]: ...  # of one input, e.g. (C, H, W)
    @property
    def transform_bank(self) -> tuple[Action, ...]: ...
    def size(self) -> int: ...  # inputs in the pool
    def unlabelled(self, generator: Generator, size: int) -> Tensor: ...  # (B, *shape), uniform, with replacement
    def balanced(self, generator: Generator, size: int) -> Tensor: ...  # the same, every class as often


class UnlabelledPool:
    """The unlabelled part of a problem's view; what is handed out is counted on the view's meter."""

    __slots__ = ("_view",)

    def __init__(self, view: View) -> None:
        self._view = view

    @property
    def shape(self) -> tuple[int, ...]:
        return self._view.shape

    @property
    def transform_bank(self) -> tuple[Action, ...]:
        return self._view.transform_bank

    def size(self) -> int:
        return self._view.size()

    def unlabelled(self, generator: Generator, size: int) -> Tensor:
        return self._view.unlabelled(generator, size)

    def balanced(self, generator: Generator, size: int) -> Tensor:
        """Every class as often where there are classes; which one an input is of stays hidden."""
        if self._view.kind is Kind.CLASSIFICATION and isinstance(self._view, ByClass):
            return self._view.unlabelled_balanced(generator, size)
        return self._view.unlabelled(generator, size)


def pool_of(problem: Problem, meter: Meter | None, label: str) -> UnlabelledPool:
    """The pool that a maker learns from.

    Args:
        label: of the problem, for the message.

    Raises:
        UserError: the problem has no unlabelled inputs.
    """
    view = problem.view(meter)
    if not hasattr(view, "unlabelled") or view.size() < 1:
        raise UserError(
            "a source to pre-train on needs a pool of inputs", f"`{label}` has none", "name another source"
        )
    return UnlabelledPool(view)


@dataclass(frozen=True)
class MakerContext:
    """Everything a maker gets from outside; what it makes may depend on nothing else.

    Args:
        problem: the source's inputs.
        horizon: planned length in updates, the configuration's own; schedules read only this.
        slice_updates: updates per `step`.
        seed: base of all random streams.
        device: where tensors live.
        meter: charged through `meter.unit(..., phase=Phase.PRETRAIN)`.
        team: the processes that make it together.
    """

    problem: Pool
    horizon: int
    slice_updates: int
    seed: int
    device: torch.device
    meter: Meter
    team: Team = ALONE

    def generator(self, role: Role, index: int = 0) -> Generator:
        """A fresh CPU generator for one role."""
        return Generator().manual_seed(stable_seed(self.seed, role, index))

    def build_network(self, make: Callable[[], nn.Module], index: int = 0) -> nn.Module:
        """What `make` returns, with weights that depend on the seed and `index` only, on the context's device."""
        return drawn(make, stable_seed(self.seed, Role.INIT, index)).to(self.device)


class Maker(Protocol):
    """Trains in bounded slices; the promises of `Method` on resuming hold for it too.

    Every slice is charged to `Phase.PRETRAIN`; `Slice.ready` means nothing here. A maker may have `warnings` as methods
    have (`Warns`), which are asked for after `result`.
    """

    def step(self) -> Slice: ...
    def state_dict(self) -> State: ...
    def load_state_dict(self, state: State) -> None: ...  # raises StateMismatchError before it changes anything
    def result(self) -> State: ...  # what the artefact holds: tensors and plain values


class MakerConfig(BaseModel):
    """Frozen, validated settings of one maker; builds it.

    A house maker lives in `trainables/makers/NAME.py` as `Config`; a user's maker sets `name`. `version` is to be
    raised with every change of the code that changes what is made: an artefact of another version is another one.

    Args:
        horizon: updates of the whole training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: ClassVar[int]

    horizon: int = Field(default=1000, ge=1)

    def check(self, pool: Pool) -> None:
        """Whether it can learn from these inputs; asked before anything starts, and cheap. UserError where not."""

    def share(self, workers: int) -> None:
        """Whether so many processes can make it together. UserError where not; one always can."""
        if workers != 1:
            raise UserError("this maker works in one process", f"making_workers: {workers}", "set it to 1")

    def build(self, context: MakerContext) -> Maker:
        raise NotImplementedError
