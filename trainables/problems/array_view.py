"""What a method sees of a problem over mapped arrays: train and outer, drawn in many ways.

Axes: B batch, N rows of a split, K outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy

from trainables.problems.problem import (
    LEARNABLE,
    Action,
    Batch,
    Episode,
    ForbiddenSplitError,
    Kind,
    Split,
)
from trainables.problems.target_units import TargetUnits

if TYPE_CHECKING:
    from tracking.cost import Meter


class Rows(NamedTuple):
    """One split as stored: x (N, *shape) uint8 or float32, y (N,) int64 or (N, K) float32."""

    x: NDArray[Any]
    y: NDArray[Any]


class _ByClass(NamedTuple):
    """Rows ordered by class; of each class, how many and where they begin."""

    rows: NDArray[np.int64]
    sizes: NDArray[np.int64]
    starts: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Description:
    """What everybody may know about a problem.

    Args:
        units: of real targets, which methods see in standard ones; None where they are as they were given.
        balanced: whether the score of a classification is its balanced accuracy.
    """

    kind: Kind
    shape: tuple[int, ...]
    outputs: int
    classes: tuple[str, ...]
    transform_bank: tuple[Action, ...]
    units: TargetUnits | None = None
    balanced: bool = False


class ArrayView:
    """Train and outer, and nothing else: the arrays of other splits are not reachable from here.

    Args:
        learnable: the rows of train and outer.
        description: kind, shape, transform bank.
        meter: counts the labels handed out from `outer`, and the inputs handed out without any.
    """

    __slots__ = ("_description", "_learnable", "_meter", "_order")

    def __init__(
        self, learnable: Mapping[Split, Rows], description: Description, meter: Meter | None = None
    ) -> None:
        self._learnable = {split: learnable[split] for split in LEARNABLE}
        self._description = description
        self._meter = meter
        self._order: dict[tuple[Split, ...], _ByClass] = {}

    @property
    def kind(self) -> Kind:
        return self._description.kind

    @property
    def shape(self) -> tuple[int, ...]:
        return self._description.shape

    @property
    def outputs(self) -> int:
        return self._description.outputs

    @property
    def classes(self) -> tuple[str, ...]:
        return self._description.classes

    @property
    def units(self) -> TargetUnits | None:
        """Of real targets: `loss`, `score` and every y are in standard ones, by these means and scales."""
        return self._description.units

    @property
    def balanced(self) -> bool:
        return self._description.balanced

    @property
    def transform_bank(self) -> tuple[Action, ...]:
        return self._description.transform_bank

    def size(self, *splits: Split) -> int:
        return sum(len(self._learnable[split].y) for split in allowed(splits))

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy in nats, or an eighth of the squared error averaged over the K outputs; (B, K) -> (B,).

        The eighth gives it the curvature 1/4 that a cross-entropy has at most in one output: so the learning rates that
        all methods are tuned over serve both.
        """
        if self.kind is Kind.CLASSIFICATION:
            return cross_entropy(outputs, y, reduction="none")
        return (outputs - y).square().mean(-1) / 8

    def score(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Accuracy, or 1 - MSE of targets in units of their standard deviation over the learnable examples.

        Of a `balanced` problem the mean over the classes that occur in y of the share that is recognised.

        R^2 would divide by the variance of the batch at hand and so depend on which examples are judged
        together; a fixed variance keeps 1 for a perfect and about 0 for a constant prediction.
        """
        if self.kind is Kind.CLASSIFICATION:
            right = (outputs.argmax(-1) == y).float()
            return by_class(right, y, self.outputs).nanmean() if self._description.balanced else right.mean()
        return 1 - (outputs - y).square().mean()

    def draw(self, generator: Generator, size: int, *splits: Split) -> Batch:
        """Uniform with replacement from the union of the splits."""
        chosen = allowed(splits)
        total = self.size(*chosen)
        rows = torch.randint(total, (size,), generator=generator, device=generator.device)
        return self._take(chosen, rows.cpu().numpy())

    def class_sizes(self, *splits: Split) -> Tensor:
        """Examples of each class in the union of the splits, (K,) int64; counted as no label read."""
        y = np.concatenate([self._learnable[split].y for split in allowed(splits)])
        return torch.from_numpy(np.bincount(y, minlength=self.outputs).astype(np.int64))

    def draw_classes(self, generator: Generator, classes: Tensor, *splits: Split) -> Batch:
        """One example of each given class, uniform within the class, with replacement.

        Args:
            classes: (B,) int64 in [0, K).

        Raises:
            ValueError: one of them has no example in these splits.
        """
        chosen = allowed(splits)
        return self._take(chosen, self._rows_of(generator, classes, chosen))

    def unlabelled_balanced(self, generator: Generator, size: int) -> Tensor:
        """Inputs from train and outer, every class as often; the classes weigh the drawing and are not told."""
        if self._meter is not None:
            self._meter.read_unlabelled(size)
        classes = torch.randint(self.outputs, (size,), generator=generator, device=generator.device).cpu()
        return self._inputs(LEARNABLE, self._rows_of(generator, classes, LEARNABLE))

    def labelled(self, *splits: Split) -> Batch:
        """Every example of the union of the splits once, in a fixed order; all labels of `outer` are read."""
        chosen = allowed(splits)
        return self._take(chosen, np.arange(self.size(*chosen)))

    def episode(self, generator: Generator, shots: int, queries: int, *splits: Split) -> Episode:
        """`shots` support and `queries` query examples of every class, all different; ordered by class.

        A regression problem counts as one class.

        Raises:
            ValueError: a class has fewer than shots + queries examples in these splits.
        """
        chosen = allowed(splits)
        y = np.concatenate([self._learnable[split].y for split in chosen])
        groups = y if self.kind is Kind.CLASSIFICATION else np.zeros(len(y), np.int64)
        smallest = int(np.bincount(groups).min())
        if smallest < shots + queries:
            raise ValueError(
                f"an episode needs shots + queries examples of every class, but got {shots} + {queries} "
                f"where the smallest class has {smallest}"
            )
        order = torch.randperm(len(groups), generator=generator, device=generator.device).cpu().numpy()
        order = order[np.argsort(groups[order], kind="stable")]  # by class, at random within a class
        ordered = groups[order]
        rank = np.arange(len(order)) - np.searchsorted(ordered, ordered)  # 0, 1, ... within each class
        support, query = order[rank < shots], order[(rank >= shots) & (rank < shots + queries)]
        return Episode(self._take(chosen, support), self._take(chosen, query))

    def unlabelled(self, generator: Generator, size: int) -> Tensor:
        """Inputs from train and outer, uniform with replacement; reads no label."""
        if self._meter is not None:
            self._meter.read_unlabelled(size)
        rows = torch.randint(self.size(), (size,), generator=generator, device=generator.device)
        return self._inputs(LEARNABLE, rows.cpu().numpy())

    def _rows_of(
        self, generator: Generator, classes: Tensor, splits: tuple[Split, ...]
    ) -> NDArray[np.int64]:
        """A row of the concatenated splits for each class, uniform within it."""
        if splits not in self._order:
            y = np.concatenate([self._learnable[split].y for split in splits])
            sizes = np.bincount(y, minlength=self.outputs)
            self._order[splits] = _ByClass(np.argsort(y, kind="stable"), sizes, np.cumsum(sizes) - sizes)
        rows, sizes, starts = self._order[splits]
        wanted = classes.cpu().numpy()
        if len(wanted) and (sizes[wanted] == 0).any():
            missing = sorted(set(wanted[sizes[wanted] == 0].tolist()))
            raise ValueError(f"a class that is drawn needs an example in these splits, but {missing} have none")
        u = torch.rand(len(wanted), generator=generator, device=generator.device, dtype=torch.float64).cpu().numpy()
        return np.asarray(rows[starts[wanted] + (u * sizes[wanted]).astype(np.int64)])

    def _take(self, splits: tuple[Split, ...], rows: NDArray[np.int64]) -> Batch:
        """Rows of the concatenated splits, with the labels read from `outer` put on the meter."""
        y = np.empty((len(rows), *self._learnable[splits[0]].y.shape[1:]), self._learnable[splits[0]].y.dtype)
        for split, here, local in self._located(splits, rows):
            y[here] = self._learnable[split].y[local]
            if split is Split.OUTER and self._meter is not None:
                self._meter.read_labels(len(local))
        return Batch(self._inputs(splits, rows), torch.from_numpy(y))

    def _inputs(self, splits: tuple[Split, ...], rows: NDArray[np.int64]) -> Tensor:
        dtype = self._learnable[splits[0]].x.dtype
        x = np.empty((len(rows), *self.shape), dtype)
        for split, here, local in self._located(splits, rows):
            x[here] = self._learnable[split].x[local]
        return as_input(x)

    def _located(
        self, splits: tuple[Split, ...], rows: NDArray[np.int64]
    ) -> list[tuple[Split, NDArray[np.bool_], NDArray[np.int64]]]:
        """For each split: which of `rows` lie in it, and where."""
        found, start = [], 0
        for split in splits:
            end = start + len(self._learnable[split].y)
            here = (rows >= start) & (rows < end)
            found.append((split, here, rows[here] - start))
            start = end
        return found


def by_class(values: Tensor, y: Tensor, classes: int) -> Tensor:
    """Mean of values (B,) over the examples of each class (K,); NaN where a class has none."""
    sums = values.new_zeros(classes).index_add_(0, y, values)
    counts = values.new_zeros(classes).index_add_(0, y, torch.ones_like(values))
    return sums / counts


def as_input(x: NDArray[Any]) -> Tensor:
    """Stored inputs as float32; images from 0..255 to [0, 1]. `x` is a fresh array, never the map itself.

    Rows are picked with NumPy because a tensor over a read-only map would claim to be writable; picking
    copies the rows of the batch, which is all that is ever copied.
    """
    tensor = torch.from_numpy(x)
    return tensor.float().div_(255) if x.dtype == np.uint8 else tensor


def allowed(splits: tuple[Split, ...]) -> tuple[Split, ...]:
    """The splits asked for, both of a method's where none is named; ForbiddenSplitError for any other."""
    forbidden = [split.value for split in splits if split not in LEARNABLE]
    if forbidden:
        names = ", ".join(forbidden)
        raise ForbiddenSplitError(f"a method may read `train` and `outer` only, but got {names}")
    return tuple(dict.fromkeys(splits)) or LEARNABLE
