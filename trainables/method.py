"""The contract between the harness and a method: four members, and a few optional ones.

Call order: `MethodConfig.build(context)`, then `load_state_dict` (on resume only), then `step` until a slice
says `done`; `predict` and `state_dict` may be called between any two steps and change nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, runtime_checkable

import torch
from pydantic import BaseModel, ConfigDict
from torch import Generator, Tensor, nn

from spaces.domain import Space
from tracking.cost import Meter, Phase
from tracking.errors import UserError
from trainables.problems.problem import Batch, View

if TYPE_CHECKING:
    from trainables.artefact import Artefact, ArtefactSpec
    from trainables.problems.spec import ProblemSpec

State = dict[str, Any]  # tensors, numbers, strings, lists, dicts: loads with weights_only=True
NetworkBuilder = Callable[[tuple[int, ...], int], nn.Module]  # (shape, outputs) -> (B, *shape) -> (B, outputs)


@dataclass(frozen=True, slots=True)
class Slice:
    """What one `step` reports.

    Args:
        metrics: the method's own finite numbers; reserved prefixes (`cost/`, `val/`, ...) are refused.
        phase: what the slice's cost is charged to.
        ready: whether `predict` is worth judging; ASHA looks at ready slices only.
        done: no step follows.
    """

    metrics: Mapping[str, float]
    phase: Phase
    ready: bool
    done: bool


class Method(Protocol):
    """A learner that finds, or assumes, invariances; advanced in bounded slices.

    Promise: same config + same context + loaded state = the same future, bit for bit (CPU of one type, one
    thread). `load_state_dict` raises `StateMismatchError` before it changes anything.
    """

    def step(self) -> Slice: ...
    def predict(self, x: Tensor, support: Batch | None = None) -> Tensor: ...  # (B, *shape) -> (B, outputs) logits
    def state_dict(self) -> State: ...
    def load_state_dict(self, state: State) -> None: ...


@runtime_checkable
class Describes(Protocol):
    """Optional: what was learned, with units in the names ("rotation/width_deg")."""

    def describe(self) -> Mapping[str, float]: ...


@runtime_checkable
class Finds(Protocol):
    """Optional: the search-free configuration that the search arrived at."""

    def found(self) -> MethodConfig: ...


@runtime_checkable
class Augments(Protocol):
    """Optional: the method's own input distribution, for test-time averaging."""

    def sample(self, x: Tensor, generator: Generator) -> Tensor: ...  # (B, *shape) -> (B, *shape)


@runtime_checkable
class Exports(Protocol):
    """Optional: files a user can take away; called once, after confirm. Returns name -> relative path."""

    def export(self, folder: Path) -> Mapping[str, str]: ...


@runtime_checkable
class Deploys(Protocol):
    """Optional: the trained network alone, (B, *shape) -> (B, outputs), which computes what `predict` does."""

    def deployed(self) -> nn.Module: ...


@runtime_checkable
class Shares(Protocol):
    """Optional: the learned pattern U (weights, k) of its first shared layer, None where there is no free one."""

    def pattern(self) -> Tensor | None: ...


@runtime_checkable
class Warns(Protocol):
    """Optional: what a person should know about this task, one sentence each; asked once, after the last step."""

    def warnings(self) -> Sequence[str]: ...


class StateMismatchError(ValueError):
    """A saved state does not fit this method; nothing was changed."""


class Role(StrEnum):
    """What a random stream is for; a fresh generator per role keeps streams independent of each other."""

    INIT = "init"        # weights
    ORDER = "order"      # which examples, in which order: paired across methods
    AUGMENT = "augment"  # transformations
    SEARCH = "search"    # outer batches, policy noise


def stable_seed(*parts: str | int) -> int:
    """A seed in [0, 2^63) that depends on the parts only, not on the process or the platform."""
    digest = sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass(frozen=True)
class Context:
    """Everything a method gets from outside.

    Args:
        problem: the view without select, test and truth.
        horizon: planned length of one training in updates; schedules read only this.
        slice_updates: updates per `step`.
        seed: base of all random streams of this trial; paired across methods.
        device: where tensors live.
        meter: charged by the method through `meter.unit(...)`.
        network: builds the network that all methods of a comparison share.
        artefacts: what the method's `needs` asked for, by the names it gave.
        originals: `problem` with inputs as they were before a planted nuisance, row for row; only for methods that are
            `told`, and None where nothing was planted.
        source: the problem's data as a description has them, to tell whether an artefact learned from the same; None
            where nobody said.
    """

    problem: View
    horizon: int
    slice_updates: int
    seed: int
    device: torch.device
    meter: Meter
    network: NetworkBuilder
    artefacts: Mapping[str, Artefact] = field(default_factory=dict)
    originals: View | None = None
    source: Mapping[str, Any] | None = None

    def generator(self, role: Role, index: int = 0) -> Generator:
        """A fresh CPU generator for one role."""
        return Generator().manual_seed(stable_seed(self.seed, role, index))

    def build_network(self, index: int = 0) -> nn.Module:
        """The shared network with freshly drawn weights; `index` tells apart several drawings in one trial."""
        seed = stable_seed(self.seed, Role.INIT, index)
        return drawn(lambda: self.network(self.problem.shape, self.problem.outputs), seed).to(self.device)


def drawn(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """The module that `make` returns, with weights that depend on the seed only.

    Constructors of torch modules draw from the global generators, so those are seeded inside a fork and restored:
    nothing outside sees it.
    """
    python_state = random.getstate()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = make()
    random.setstate(python_state)
    return module


class MethodConfig(BaseModel):
    """Frozen, validated settings of one method; builds its method.

    Class attributes: `space` names the fields that may be tuned and their domains (their defaults lie inside).
    `control` marks a baseline that searches nothing: the rows that others are compared with.
    `random_control` is the method that draws from this one's space without a search, where there is one.
    `adapts` marks a method of problems made of tasks: `predict` is given a support set for each task, x (T, S, *shape)
    and y, with queries (T, Q, *shape), and returns (T, Q, outputs). Others see the examples of all tasks mixed.
    `images` marks a method of images (C, H, W).
    `told` marks a bound that knows what was planted: it alone is given the `originals`.
    `scales_with_horizon` is False where a training takes the same work whatever the horizon is (a head in closed form);
    such a training may be a single slice.
    `descends` is False where a slice may take no gradient (the same): it is then charged FLOPs alone.
    A house method lives in `trainables/methods/NAME.py` as `Config`; a user's method sets `name`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    space: ClassVar[Space]
    control: ClassVar[bool] = False
    random_control: ClassVar[str | None] = None
    adapts: ClassVar[bool] = False
    images: ClassVar[bool] = False
    told: ClassVar[bool] = False
    scales_with_horizon: ClassVar[bool] = True
    descends: ClassVar[bool] = True

    def needs(self, problem: ProblemSpec, data_seed: int) -> Mapping[str, ArtefactSpec]:
        """What is to be trained once before any trial of this method on this problem; by names of its own choice.

        Depends on no field that may be tuned: all trials of a study share what is made.

        Args:
            data_seed: fixes the problem's data; an artefact made with the same one has seen no test image.
        """
        return {}

    def idle(self) -> frozenset[str]:
        """Names in `space` that nothing reads as these settings stand; a row that fixes them does not tune those.

        Depends on no field that may be tuned.
        """
        return frozenset()

    def fits(self, problem: View, network: NetworkBuilder) -> None:
        """Raises UserError where this method cannot run on the problem with the network that all methods share.

        Asked before any work starts.
        """
        if self.images and len(problem.shape) != 3:
            name = getattr(self, "name", type(self).__module__.rpartition(".")[2])
            raise UserError(f"{name} needs images (C, H, W)", problem.shape, "use the method `plain` for other inputs")

    @classmethod
    def quick(cls) -> Self:
        """Settings with which a training of the contract suite's toy takes a moment; the defaults, mostly."""
        return cls()

    def build(self, context: Context) -> Method:
        raise NotImplementedError
