"""Tiny problems with known answers, instant to build, for tests of methods and of the harness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Generator, Tensor

from trainables.problems.array_problem import ArrayProblem
from trainables.problems.bank import standard_bank
from trainables.problems.dataset import Array, Dataset, SourceConfig, WrapperConfig, labelled, stream
from trainables.problems.nuisance import Config as Nuisance
from trainables.problems.problem import (
    LEARNABLE,
    Action,
    Batch,
    Episode,
    ForbiddenSplitError,
    Kind,
    Problem,
    Split,
    Truth,
    View,
)
from trainables.problems.spec import in_memory

if TYPE_CHECKING:
    from tracking.cost import Meter

PER_CLASS = 24  # labelled pool; the test set has half of it
TEMPLATES = (
    ((1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (5, 2), (5, 3), (5, 4)),  # an L
    ((2, 2), (2, 3), (2, 4), (2, 5), (3, 3), (4, 3)),                  # a T
    ((3, 2), (3, 3), (3, 4), (4, 2), (4, 3), (4, 4)),                  # a block
)


class ImageToy(SourceConfig):
    """8x8 grey images of three shapes, with noise; nothing planted: wrap it."""

    name: ClassVar[str] = "toy_images"

    noise: float = 0.05
    per_class: int = PER_CLASS

    def load(self, seed: int) -> Dataset:
        pool, test = self._images("pool", 1.0, seed), self._images("test", 0.5, seed)
        return labelled(*pool, *test, ("ell", "tee", "block"))

    def _images(self, part: str, share: float, seed: int) -> tuple[Array, Array]:
        y = np.arange(int(self.per_class * share) * 3) % 3
        noise = np.abs(stream(part, seed).normal(0, self.noise, (len(y), 1, 8, 8)))
        return ((_shapes()[y] * 0.8 + noise).clip(0, 1) * 255).round().astype(np.uint8), y


class SignalToy(SourceConfig):
    """1-D signals (1, 32): one, two or three cycles at a random phase: a time shift changes no label."""

    name: ClassVar[str] = "toy_signals"

    noise: float = 0.1

    def load(self, seed: int) -> Dataset:
        pool, test = self._signals("pool", PER_CLASS, seed), self._signals("test", PER_CLASS // 2, seed)
        dataset = labelled(*pool, *test, ("one", "two", "three"))
        return replace(dataset, truth=Truth({"time_shift": 0.5}, {}))

    def _signals(self, part: str, per_class: int, seed: int) -> tuple[Array, Array]:
        generator, y = stream(part, seed), np.arange(per_class * 3) % 3
        phase = generator.random((len(y), 1))
        t = np.arange(32) / 32
        x = np.sin(2 * np.pi * ((y + 1)[:, None] * t + phase)) + generator.normal(0, self.noise, (len(y), 32))
        return x[:, None].astype(np.float32), y


class RegressionToy(SourceConfig):
    """1-D signals (1, 8) and two linear functionals of them: exactly solvable."""

    name: ClassVar[str] = "toy_regression"

    def load(self, seed: int) -> Dataset:
        generator = stream("regression", seed)
        x, weights = generator.normal(size=(144, 1, 8)).astype(np.float32), generator.normal(size=(8, 2))
        y = (x[:, 0] @ weights).astype(np.float32)
        plain = labelled(x[:96], np.zeros(96), x[96:], np.zeros(48), ("data",))
        return replace(plain, pool_y=y[:96], test_y=y[96:], kind=Kind.REGRESSION, outputs=2, classes=())


def image_toy(seed: int = 0, partition: int = 0, rotation_deg: float = 30.0) -> ArrayProblem:
    """Three 8x8 shapes, every split rotated by up to +-`rotation_deg` (0: nothing planted)."""
    wrappers = (Nuisance(ranges={"rotation": rotation_deg}),) if rotation_deg else ()
    return _built(ImageToy(), seed, partition, *wrappers)


def signal_toy(seed: int = 0, partition: int = 0) -> ArrayProblem:
    """Sine waves of three frequencies; invariant to time shift."""
    return _built(SignalToy(), seed, partition)


def regression_toy(seed: int = 0, partition: int = 0) -> ArrayProblem:
    """Two linear functionals of a signal."""
    return _built(RegressionToy(), seed, partition)


def _built(source: SourceConfig, seed: int, partition: int, *wrappers: WrapperConfig) -> ArrayProblem:
    dataset = source.load(seed)
    for wrapper in wrappers:
        dataset = wrapper.wrap(dataset, seed)
    return in_memory(dataset, seed, partition)


def _shapes() -> Array:
    shapes = np.zeros((3, 1, 8, 8), np.float32)
    for image, pixels in zip(shapes, TEMPLATES, strict=True):
        rows, columns = zip(*pixels, strict=True)
        image[0, rows, columns] = 1
    return shapes


TASKS = {Split.TRAIN: 12, Split.OUTER: 6, Split.SELECT: 4, Split.TEST: 4}
PER_TASK = 16


class EpisodicView:
    """Tasks y = filter * x (circular convolution over 8 samples), one filter per task: shift-equivariant."""

    kind, shape, outputs = Kind.EPISODIC, (1, 8), 8

    def __init__(self, tasks: Mapping[Split, tuple[Tensor, Tensor]], meter: Meter | None = None) -> None:
        self._learnable = {split: tasks[split] for split in LEARNABLE}  # x, y: (tasks, PER_TASK, ...)
        self._meter = meter

    @property
    def transform_bank(self) -> tuple[Action, ...]:
        return standard_bank(self.shape, {})

    def size(self, *splits: Split) -> int:
        return sum(TASKS[split] * PER_TASK for split in _learnable(splits))

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        return (outputs - y).square().mean(-1)

    def score(self, outputs: Tensor, y: Tensor) -> Tensor:
        return -self.loss(outputs, y).mean()

    def draw(self, generator: Generator, size: int, *splits: Split) -> Batch:
        """Examples of all tasks mixed."""
        x, y, tasks = self._tasks(splits)
        rows = torch.randint(tasks * PER_TASK, (size,), generator=generator)
        self._count(splits, rows // PER_TASK)
        return Batch(x.flatten(0, 1)[rows], y.flatten(0, 1)[rows])

    def episode(self, generator: Generator, shots: int, queries: int, *splits: Split) -> Episode:
        """`shots` and `queries` examples of one task."""
        if shots + queries > PER_TASK:
            raise ValueError(f"an episode has at most {PER_TASK} examples, but got {shots} + {queries}")
        x, y, tasks = self._tasks(splits)
        task = torch.randint(tasks, (1,), generator=generator)
        rows = torch.randperm(PER_TASK, generator=generator)[: shots + queries]
        self._count(splits, task.expand(len(rows)))
        x, y = x[task, rows], y[task, rows]
        return Episode(Batch(x[:shots], y[:shots]), Batch(x[shots:], y[shots:]))

    def unlabelled(self, generator: Generator, size: int) -> Tensor:
        x, _, tasks = self._tasks(())
        if self._meter is not None:
            self._meter.read_unlabelled(size)
        return x.flatten(0, 1)[torch.randint(tasks * PER_TASK, (size,), generator=generator)]

    def _tasks(self, splits: tuple[Split, ...]) -> tuple[Tensor, Tensor, int]:
        chosen = [self._learnable[split] for split in _learnable(splits)]
        x, y = (torch.cat(parts) for parts in zip(*chosen, strict=True))
        return x, y, len(x)

    def _count(self, splits: tuple[Split, ...], tasks: Tensor) -> None:
        owner = torch.cat([torch.full((TASKS[split],), split is Split.OUTER) for split in _learnable(splits)])
        if self._meter is not None and owner[tasks].any():
            self._meter.read_labels(int(owner[tasks].sum()))


class EpisodicToy(EpisodicView):
    """The episodic toy in full."""

    def __init__(self, seed: int = 0, partition: int = 0) -> None:
        generator = stream("episodic", seed)
        total = sum(TASKS.values())
        x = torch.from_numpy(generator.normal(size=(total, PER_TASK, 1, 8)).astype(np.float32))
        filters = torch.from_numpy(generator.normal(size=(total, 8)).astype(np.float32))
        y = torch.fft.irfft(torch.fft.rfft(x[:, :, 0]) * torch.fft.rfft(filters)[:, None], n=8)
        pool = total - TASKS[Split.TEST]  # the last tasks are the test set in every partition
        order = np.concatenate([stream("tasks", seed, partition).permutation(pool), np.arange(pool, total)])
        parts = np.split(order, np.cumsum(list(TASKS.values()))[:-1])
        self._all = {split: (x[rows], y[rows]) for split, rows in zip(TASKS, parts, strict=True)}
        super().__init__(self._all)

    @property
    def truth(self) -> Truth | None:
        return None

    def size(self, *splits: Split) -> int:
        return sum(TASKS[split] * PER_TASK for split in splits or LEARNABLE)

    def examples(self, split: Split, limit: int | None = None) -> Batch:
        x, y = self._all[split]
        return Batch(x.flatten(0, 1)[:limit], y.flatten(0, 1)[:limit])

    def view(self, meter: Meter | None = None) -> EpisodicView:
        return EpisodicView(self._all, meter)


def _learnable(splits: tuple[Split, ...]) -> tuple[Split, ...]:
    if set(splits) - set(LEARNABLE):
        raise ForbiddenSplitError(f"a method may read `train` and `outer` only, but got {splits}")
    return splits or LEARNABLE


class TouchedError(AssertionError):
    """Something read a split that it must not read."""


class TestSplitTrap:
    """A problem whose forbidden splits (and truth) raise as soon as they are touched."""

    __test__ = False  # not a test class

    def __init__(self, problem: Problem, *forbidden: Split) -> None:
        self._problem = problem
        self._forbidden = forbidden or (Split.SELECT, Split.TEST)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._problem, name)

    @property
    def truth(self) -> Truth | None:
        raise TouchedError("the truth was read")

    def examples(self, split: Split, limit: int | None = None) -> Batch:
        if split in self._forbidden:
            raise TouchedError(f"the {split} split was read")
        return self._problem.examples(split, limit)

    def view(self, meter: Meter | None = None) -> View:
        return self._problem.view(meter)
