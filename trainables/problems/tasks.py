"""Problems made of tasks: episodes are drawn in batches, and tasks, not examples, are divided into splits.

Axes: T tasks, S support and Q query examples of each, then an input's `shape` or K outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from trainables.problems.array_view import allowed
from trainables.problems.problem import LEARNABLE, Action, Batch, Episode, Kind, Split, Truth, View

if TYPE_CHECKING:
    from tracking.cost import Meter

Tasks = NDArray[Any]  # (T, ...) what tells tasks apart: filters, or the images of classes
JUDGED_TOGETHER = 50  # tasks: bounds the memory of what the harness scores


class TaskFamily(Protocol):
    """How examples of a task are made and judged; knows no task by itself."""

    shape: tuple[int, ...]
    outputs: int
    bank: tuple[Action, ...]
    outcome: Kind  # of a task: what its outputs mean
    ways: int      # classes of a task, each with its own shots and queries; else 1

    def episodes(self, known: Tasks, generator: Generator, tasks: int, shots: int, queries: int) -> Episode:
        """Support x (T, S, *shape), y (T, S, ...) and query of T tasks, drawn from those known."""

    def draw(self, known: Tasks, generator: Generator, size: int) -> Batch:
        """One example of each of `size` tasks."""

    def fixed(self, known: Tasks, generator: Generator) -> Batch:
        """One example of each known thing: x (N, *shape), y (N, ...)."""

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """(B, K), (B, ...) -> (B,)."""

    def score(self, outputs: Tensor, y: Tensor) -> Tensor:
        """0-d, higher is better; the score of several batches of one size is the mean of theirs."""


@runtime_checkable
class EpisodicView(View, Protocol):
    """What a method sees of a problem made of tasks.

    `shots` and `queries` are the problem's own numbers of support and query examples of a task (of each class, where
    there are classes). `draw` mixes the examples of all tasks, so that methods which know of no tasks run too.
    """

    @property
    def shots(self) -> int: ...
    @property
    def queries(self) -> int: ...
    def episodes(self, generator: Generator, tasks: int, *splits: Split) -> Episode: ...  # (T, S, ...), (T, Q, ...)


class TaskView:
    """Train and outer tasks, and nothing else.

    Args:
        known: split -> what tells its tasks apart.
        shots, queries: of an episode.
        meter: counts labels of outer tasks, and inputs without labels.
    """

    kind: ClassVar[Kind] = Kind.EPISODIC

    def __init__(
        self, family: TaskFamily, known: Mapping[Split, Tasks], shots: int, queries: int, meter: Meter | None = None
    ) -> None:
        self._family, self._learnable, self._meter = family, {split: known[split] for split in LEARNABLE}, meter
        self.shots, self.queries = shots, queries

    @property
    def shape(self) -> tuple[int, ...]:
        return self._family.shape

    @property
    def outputs(self) -> int:
        return self._family.outputs

    @property
    def transform_bank(self) -> tuple[Action, ...]:
        return self._family.bank

    def size(self, *splits: Split) -> int:
        """Tasks (or classes to make tasks of), not examples."""
        return sum(len(self._learnable[split]) for split in allowed(splits))

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        return self._family.loss(outputs, y)

    def score(self, outputs: Tensor, y: Tensor) -> Tensor:
        return self._family.score(outputs, y)

    def episodes(self, generator: Generator, tasks: int, *splits: Split) -> Episode:
        """A batch of tasks with the problem's own numbers of examples; tasks are drawn with replacement."""
        return self._episodes(generator, tasks, self.shots, self.queries, *splits)

    def episode(self, generator: Generator, shots: int, queries: int, *splits: Split) -> Episode:
        """One task: support (S, *shape), query (Q, *shape)."""
        support, query = self._episodes(generator, 1, shots, queries, *splits)
        return Episode(Batch(support.x[0], support.y[0]), Batch(query.x[0], query.y[0]))

    def draw(self, generator: Generator, size: int, *splits: Split) -> Batch:
        """One example of each of `size` tasks."""
        known, outer = self._asked(splits)
        self._count(round(size * outer / len(known)))
        return self._family.draw(known, generator, size)

    def labelled(self, *splits: Split) -> Batch:
        """One fixed example of each task: examples have no number."""
        chosen = allowed(splits)
        batches = [fixed(self._family, self._learnable[split]) for split in chosen]
        self._count(sum(len(self._learnable[split]) for split in chosen if split is Split.OUTER))
        return Batch(*(torch.cat(parts) for parts in zip(*batches, strict=True)))

    def unlabelled(self, generator: Generator, size: int) -> Tensor:
        if self._meter is not None:
            self._meter.read_unlabelled(size)
        known = np.concatenate([self._learnable[split] for split in LEARNABLE])
        return self._family.draw(known, generator, size).x

    def _episodes(self, generator: Generator, tasks: int, shots: int, queries: int, *splits: Split) -> Episode:
        """Labels of outer count by outer's share of what is known: a task may hold classes of both."""
        known, outer = self._asked(splits)
        episode = self._family.episodes(known, generator, tasks, shots, queries)
        examples = episode.support.x.shape[1] + episode.query.x.shape[1]
        self._count(round(tasks * examples * outer / len(known)))
        return episode

    def _asked(self, splits: tuple[Split, ...]) -> tuple[Tasks, int]:
        """What is known of these splits, and how much of it is outer's."""
        chosen = allowed(splits)
        parts = [self._learnable[split] for split in chosen]
        outer = sum(len(part) for split, part in zip(chosen, parts, strict=True) if split is Split.OUTER)
        return (parts[0] if len(parts) == 1 else np.concatenate(parts)), outer

    def _count(self, labels: int) -> None:
        if self._meter is not None and labels:
            self._meter.read_labels(labels)


class TaskProblem(TaskView):
    """A problem made of tasks in full, as the harness holds it."""

    def __init__(
        self, family: TaskFamily, known: Mapping[Split, Tasks], shots: int, queries: int, notes: tuple[str, ...] = (),
        truth: Truth | None = None, pattern: Callable[[], Tensor] | None = None,
    ) -> None:
        super().__init__(family, known, shots, queries)
        self._known, self._truth, self._pattern, self.notes = dict(known), truth, pattern, notes

    @property
    def truth(self) -> Truth | None:
        return self._truth

    def pattern(self) -> Tensor | None:
        """The planted U (weights, k), for the harness alone; None where there is none."""
        return None if self._pattern is None else self._pattern()

    @property
    def judged_queries(self) -> int:
        """Of one task, over all its classes."""
        return self.queries * self._family.ways

    @property
    def outcome(self) -> Kind:
        """What the outputs of a task mean: CLASSIFICATION or REGRESSION."""
        return self._family.outcome

    def size(self, *splits: Split) -> int:
        return sum(len(self._known[split]) for split in splits or LEARNABLE)

    def examples(self, split: Split, limit: int | None = None) -> Batch:
        """One fixed example of each of the first `limit` tasks."""
        return fixed(self._family, self._known[split][:limit])

    def judged(self, split: Split, tasks: int) -> Iterator[Episode]:
        """The same `tasks` episodes each time, in batches of one size."""
        known = self._known[split]
        seed = int.from_bytes(sha256(np.ascontiguousarray(known).tobytes()).digest()[:7], "big")
        generator = Generator().manual_seed(seed)
        for _ in range(-(-tasks // JUDGED_TOGETHER)):
            yield self._family.episodes(known, generator, min(tasks, JUDGED_TOGETHER), self.shots, self.queries)

    def view(self, meter: Meter | None = None) -> TaskView:
        return TaskView(self._family, self._learnable, self.shots, self.queries, meter)


def fixed(family: TaskFamily, known: Tasks) -> Batch:
    """One example for each task that depends on the task alone, not on which others there are."""
    batches = []
    for task in known:
        seed = int.from_bytes(sha256(np.ascontiguousarray(task).tobytes()).digest()[:7], "big")
        batches.append(family.fixed(np.array(task)[None], Generator().manual_seed(seed)))
    return Batch(*(torch.cat(parts) for parts in zip(*batches, strict=True)))
