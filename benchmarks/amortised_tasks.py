"""The tasks of benchmarks/amortised.py: planted ones with a known answer, one outside the trained family, natural ones.

Nuisances are planted in all splits, over the half-widths that the family is trained on. Where the label is a
transformation, its five values span that range, so ignoring the factor harms. Where it is a number (regression), it is
the strength itself, or the mean level of the image before a nuisance; scores are then shares of the variance.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from spaces.descriptors import OPERATIONS, Factor, Family, standard_family
from spaces.transforms import TRANSFORMS
from trainables.artefact import ArtefactSpec
from trainables.modules.amortised import ExtractorChoice, Quality
from trainables.problems.bank import image_bank
from trainables.problems.dataset import Dataset, WrapperConfig
from trainables.problems.problem import Kind, Problem, Split
from trainables.problems.spec import ProblemSpec, in_memory

VALUES = 5  # of a label that is a transformation
REAL = 10   # labels of a real target per label "of a class"
AMOUNTS = (Factor.ROTATION, Factor.SCALE, Factor.BRIGHTNESS, Factor.BLUR)
UNDER = (Factor.ROTATION, Factor.SHEAR)  # nuisances that leave the mean level nearly as it is
PAIRS = ((Factor.ROTATION, Factor.CONTRAST), (Factor.TRANSLATION, Factor.BLUR))
_DIGITS: Mapping[str, Any] = {"name": "digits", "size": 16}


class Sort(StrEnum):
    """What is known about a task."""

    CLEAN = "clean"      # nothing planted
    HELPFUL = "helpful"  # a nuisance: ignoring it helps
    HARMFUL = "harmful"  # the label is a transformation: ignoring it harms
    OUTSIDE = "outside"  # a nuisance that no entry of the descriptor stands for
    NATURAL = "natural"  # other labels of the same images; no planted answer
    AMOUNT = "amount"    # the target is a transformation's strength: ignoring it harms
    INK = "ink"          # the target is the mean level before a nuisance: ignoring that helps, ignoring levels harms


@dataclass(frozen=True, slots=True)
class Data:
    """Images that tasks are made of, and those that the extractor learns from.

    Args:
        tasks: the source of all tasks.
        pool: the extractor's source; where it has a test set of its own making, that of `tasks` for the same seed.
        quality: how long the extractor is pre-trained.
        settings: of the pre-training that differ from the quality's.
        channels: of the images.
    """

    name: str
    tasks: Mapping[str, Any]
    pool: Mapping[str, Any]
    quality: Quality
    settings: Mapping[str, Any] = field(default_factory=dict)
    channels: int = 1

    @property
    def family(self) -> Family:
        """The standard one."""
        return standard_family(self.channels)

    @property
    def source(self) -> ProblemSpec:
        """What the extractor learns from."""
        return ProblemSpec.model_validate({"label": f"pool of {self.name}", "source": dict(self.pool)})

    @property
    def choice(self) -> ExtractorChoice:
        """What every amortised method stands on."""
        return ExtractorChoice(quality=self.quality, source=self.source, settings=dict(self.settings))

    def spec(self, data_seed: int) -> ArtefactSpec:
        """The conditioned extractor."""
        return self.choice.spec(self.source, data_seed)


@dataclass(frozen=True, slots=True)
class Task:
    """One task of the suite, without its shots.

    Args:
        planted: the factors that were planted; empty for CLEAN, OUTSIDE and NATURAL.
    """

    name: str
    sort: Sort
    data: Data
    wrappers: tuple[Mapping[str, Any], ...]
    planted: tuple[Factor, ...] = ()

    def spec(self, shots: int) -> ProblemSpec:
        """With so many labels per class in all, of which train and outer have 4 of 5, 8 of 10, 38 of 50.

        Of real targets ten times as many in all, of which train and outer have three quarters.
        """
        few = {"name": "few_shot", "shots": shots * REAL if self.sort in (Sort.AMOUNT, Sort.INK) else shots}
        return ProblemSpec.model_validate({
            "label": f"{self.name}-{shots}", "source": dict(self.data.tasks),
            "wrappers": [*self.wrappers, few], "limits": _limits(self.data),
        })

    def problem(self, shots: int, data_seed: int, seed: int) -> Problem:
        """The task with its data fixed by two seeds.

        Args:
            data_seed: divides the source's images into pool and test set, as the extractor's pre-training does.
            seed: of what is planted, of the draw of the few labels and of their division.
        """
        spec = self.spec(shots)
        source, wrappers = spec.parts()
        dataset = replace(_loaded(json.dumps(dict(self.data.tasks)), data_seed), bank=source.bank, limits=spec.limits)
        for wrapper in wrappers:
            dataset = wrapper.wrap(dataset, seed)
        return in_memory(dataset, seed, 0)

    def oracle(self, rest: float) -> dict[str, float]:
        """The descriptor of whoever knows what was planted: 1 for a nuisance, 0 for the label, `rest` elsewhere."""
        entry = 0.0 if self.sort in (Sort.HARMFUL, Sort.AMOUNT) else 1.0
        names = [factor.value for factor in self.data.family.factors]
        return {**dict.fromkeys(names, rest), **{factor.value: entry for factor in self.planted}}


@cache
def _loaded(source: str, seed: int) -> Dataset:
    """Read once per process; tasks share the images."""
    return ProblemSpec.model_validate({"label": "source", "source": json.loads(source)}).parts()[0].load(seed)


class Parity(WrapperConfig):
    """Is the digit odd? Another label of the same images."""

    name: ClassVar[str] = "benchmark_parity"

    def wrap(self, dataset: Dataset, seed: int) -> Dataset:
        return replace(
            dataset, pool_y=dataset.pool_y % 2, test_y=dataset.test_y % 2, outputs=2, classes=("even", "odd")
        )


class Holes(WrapperConfig):
    """How many holes does the digit have, as it is printed? Another label of the same images."""

    name: ClassVar[str] = "benchmark_holes"

    def wrap(self, dataset: Dataset, seed: int) -> Dataset:
        holes = np.array([1, 0, 0, 0, 1, 0, 1, 0, 2, 1])
        return replace(
            dataset, pool_y=holes[dataset.pool_y], test_y=holes[dataset.test_y], outputs=3,
            classes=("none", "one", "two"),
        )


class Inverted(WrapperConfig):
    """Every second image, at random, is a negative: a nuisance that no factor of the family stands for."""

    name: ClassVar[str] = "benchmark_inverted"

    def wrap(self, dataset: Dataset, seed: int) -> Dataset:
        def some(part: str, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            chosen = np.random.default_rng([seed, len(part)]).random(len(x)) < 0.5
            return np.where(chosen[:, None, None, None], 255 - x, x)

        return replace(dataset.map_pool(lambda x: some("pool", x)), test_x=some("tests", dataset.test_x))


class Ink(WrapperConfig):
    """The mean level of the image as it is now, in [0, 1]: a real target."""

    name: ClassVar[str] = "benchmark_ink"

    def wrap(self, dataset: Dataset, seed: int) -> Dataset:
        def levels(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            return (x.reshape(len(x), -1).mean(1, keepdims=True) / 255).astype(np.float32)

        return replace(
            dataset, pool_y=levels(dataset.pool[Split.TRAIN]), test_y=levels(dataset.test_x), kind=Kind.REGRESSION,
            outputs=1, classes=(),
        )


def digits(quality: Quality) -> Data:
    """Scikit-learn's digits at 16 x 16."""
    return Data("digits", _DIGITS, _DIGITS, quality)


def sources(mnist: Path | None, folder: Path | None = None) -> dict[str, Data]:
    """All data by name: each extractor on its own images, and on those of the other source where sizes agree.

    Args:
        mnist: the folder that holds `MNIST/raw`.
        folder: of colour images, with a sub-folder for each class.
    """
    found = [digits(Quality.STANDARD), Data("digits-long", _DIGITS, _DIGITS, Quality.LONG)]
    if mnist is not None:
        small, large = ({"name": "torchvision", "dataset": "MNIST", "root": str(mnist), "size": n} for n in (16, 28))
        some = {"limit": 2000}  # a task never needs more, and its test set has as many
        found += [
            Data("mnist", {**large, **some}, large, Quality.LONG),
            Data("digits-to-mnist", {**small, **some}, _DIGITS, Quality.STANDARD),
            Data("mnist-to-digits", _DIGITS, small, Quality.STANDARD),
        ]
    if folder is not None:
        images = {"name": "folder", "path": str(folder), "size": 32}
        found.append(Data("folder", images, images, Quality.LONG, channels=3))
    return {data.name: data for data in found}


def suite(data: Data) -> tuple[Task, ...]:
    """All tasks on one kind of images: 17 planted for grey ones, one outside the family, natural ones, real targets."""
    family = data.family
    nuisances = [(factor,) for factor in family.factors] + list(PAIRS)
    return (
        Task("none", Sort.CLEAN, data, ()),
        *(Task("+".join(some), Sort.HELPFUL, data, (_nuisance(family, some),), some) for some in nuisances),
        *(Task(f"which-{one}", Sort.HARMFUL, data, (_label(family, one),), (one,)) for one in family.factors),
        Task("inverted", Sort.OUTSIDE, data, ({"name": Inverted.name},)),
        Task("parity", Sort.NATURAL, data, ({"name": Parity.name},)),
        *((Task("holes", Sort.NATURAL, data, ({"name": Holes.name},)),) if data.channels == 1 else ()),
        *(Task(f"how-{one}", Sort.AMOUNT, data, (_target(family, one),), (one,)) for one in AMOUNTS),
        *(Task(f"ink+{one}", Sort.INK, data, ({"name": Ink.name}, _nuisance(family, (one,))), (one,)) for one in UNDER),
    )


def _nuisance(family: Family, factors: tuple[Factor, ...]) -> dict[str, Any]:
    names = [operation for factor in factors for operation in OPERATIONS[factor]]
    return {"name": "nuisance", "ranges": {name.value: family.limit(name) for name in names}}


def _label(family: Family, factor: Factor) -> dict[str, Any]:
    """Five values of the factor's first operation."""
    operation = OPERATIONS[factor][0]
    reach = family.limit(operation)
    values = np.linspace(-reach if TRANSFORMS[operation].signed else 0.0, reach, VALUES)
    return {"name": "transform_label", "operation": operation.value, "values": [float(v) for v in values]}


def _limits(data: Data) -> dict[str, float]:
    """The bank's maxima, raised where the family reaches further; the same for every task, as methods see the bank."""
    bank = {action.name: action.limit for action in image_bank((data.channels, 8, 8), {})}
    reach = {name.value: data.family.limit(name) for name in data.family.operations}
    return {name: limit for name, limit in reach.items() if limit > bank[name]}


def _target(family: Family, factor: Factor) -> dict[str, Any]:
    """The strength of the factor's first operation."""
    operation = OPERATIONS[factor][0]
    return {"name": "transform_target", "operation": operation.value, "reach": family.limit(operation)}
