"""The problem protocol: data with splits, a loss, a score, and the group actions it is probed with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict
from torch import Generator, Tensor

if TYPE_CHECKING:
    from tracking.cost import Meter


class Kind(StrEnum):
    """What the outputs mean."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"
    EPISODIC = "episodic"


class Split(StrEnum):
    """Who may read a part of the labelled data."""

    TRAIN = "train"    # gradients of the weights
    OUTER = "outer"    # what a method learns about itself: policies, descriptors, leave-one-out
    SELECT = "select"  # the harness only: Optuna, ASHA, the choice of a configuration
    TEST = "test"      # confirm only, read once


LEARNABLE = (Split.TRAIN, Split.OUTER)


class Batch(NamedTuple):
    """Inputs (B, *shape) as float32, images in [0, 1]; targets (B,) int64 or (B, outputs) float32."""

    x: Tensor
    y: Tensor


class Episode(NamedTuple):
    """One task: a support set to adapt on and a query set to be judged on."""

    support: Batch
    query: Batch


@dataclass(frozen=True, slots=True)
class Action:
    """A one-parameter family of transformations of the input, T_v with v in [-1, 1] (or [0, 1] if unsigned).

    Args:
        name: the operation's name, e.g. "rotation".
        unit: the physical unit, e.g. "deg".
        limit: the physical value at |v| = 1.
        signed: whether v may be negative.
        apply: (x (B, *shape), v (B,)) -> (B, *shape); T_0 is the identity; differentiable in v if possible.
    """

    name: str
    unit: str
    limit: float
    signed: bool
    apply: Callable[[Tensor, Tensor], Tensor] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Truth:
    """The planted answer, known to the report and hidden from every method.

    Args:
        invariant: action name -> physical half-width within which no label changes: where a nuisance was planted, its
            own; else how far a stored input may be moved, where a source knows it.
        harmful: action name -> physical value at which the label changes.
    """

    invariant: Mapping[str, float] = field(default_factory=dict)
    harmful: Mapping[str, float] = field(default_factory=dict)


class View(Protocol):
    """What a method sees of a problem: no select split, no test split, no truth.

    `size`, `draw`, `labelled` and `episode` accept the splits `train` and `outer` only and raise `ForbiddenSplitError`
    otherwise; with no split named they mean both. `shots` and `queries` are per class (per task for
    regression). All randomness comes from the generator passed in. Labels
    handed out from `outer`, and inputs handed out by `unlabelled`, are counted on the meter that the view was made
    with.
    """

    @property
    def kind(self) -> Kind: ...
    @property
    def shape(self) -> tuple[int, ...]: ...  # of one input, e.g. (C, H, W)
    @property
    def outputs(self) -> int: ...  # classes, or regression targets
    @property
    def transform_bank(self) -> tuple[Action, ...]: ...
    def size(self, *splits: Split) -> int: ...  # labelled examples in the union
    def loss(self, outputs: Tensor, y: Tensor) -> Tensor: ...  # (B, outputs) -> (B,), not reduced
    def score(self, outputs: Tensor, y: Tensor) -> Tensor: ...  # 0-d, higher is better
    def draw(self, generator: Generator, size: int, *splits: Split) -> Batch: ...  # uniform, with replacement
    def labelled(self, *splits: Split) -> Batch: ...  # every example of the union once, in a fixed order
    def episode(self, generator: Generator, shots: int, queries: int, *splits: Split) -> Episode: ...
    def unlabelled(self, generator: Generator, size: int) -> Tensor: ...  # (B, *shape) from train and outer


@runtime_checkable
class ByClass(Protocol):
    """Optional for a view: examples by class, which rules for imbalanced classes need; see `ArrayView`."""

    def class_sizes(self, *splits: Split) -> Tensor: ...  # (K,) int64
    def draw_classes(self, generator: Generator, classes: Tensor, *splits: Split) -> Batch: ...
    def unlabelled_balanced(self, generator: Generator, size: int) -> Tensor: ...


class Problem(View, Protocol):
    """A problem in full, as the harness holds it; `size` and `examples` take every split, `draw` does not."""

    @property
    def truth(self) -> Truth | None: ...
    def examples(self, split: Split, limit: int | None = None) -> Batch: ...  # fixed order, the first `limit`
    def view(self, meter: Meter | None = None) -> View: ...  # no path to select, test or truth


@runtime_checkable
class Planted(Protocol):
    """Optional for a problem: its learnable inputs as they were before a planted nuisance, row for row.

    None where nothing was planted. The rows, labels and draws are those of `view()`; nothing is counted on a meter.
    """

    def originals(self) -> View | None: ...


class ForbiddenSplitError(PermissionError):
    """A method asked for a split that it must not see."""


class ProblemConfig(BaseModel):
    """Frozen, validated fields of one part of a problem: a source of data, or a wrapper around it.

    Subclasses set `name`, the word that a specification calls them by, and derive from `SourceConfig` or
    `WrapperConfig` (dataset.py); a house part lives in a module of this package as `Config`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
