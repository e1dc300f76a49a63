"""Extractors that slow tests share, trained once per description and kept between runs, and planted tasks on them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from spaces.descriptors import OPERATIONS, Factor, Family, standard_family
from spaces.transforms import TRANSFORMS
from tracking.cost import Meter
from tracking.storage import Place
from trainables.artefact import Artefact, ArtefactSpec
from trainables.artefact_store import ArtefactError, ArtefactStore
from trainables.making import made
from trainables.method import Context
from trainables.methods import descriptor
from trainables.modules.amortised import NAME, SETTINGS, AmortisedTask, Quality
from trainables.modules.extractor import Extractor
from trainables.modules.networks import builder
from trainables.problems.array_problem import ArrayProblem
from trainables.problems.dataset import Dataset, WrapperConfig
from trainables.problems.few_shot import Config as FewShot
from trainables.problems.nuisance import Config as Nuisance
from trainables.problems.problem import Split
from trainables.problems.spec import ProblemSpec, in_memory
from trainables.problems.store import cache_folder
from trainables.problems.transform_label import Config as TransformLabel

MNIST = Path(os.environ.get("INVSEARCH_MNIST") or Path(__file__).resolve().parents[2].parent / "shared/data")
VALUES = 5       # of a label that is a transformation
PER_CLASS = 67   # shots of which 50 per class are train and outer


@dataclass(frozen=True)
class Pretrained:
    """A source of images, the settings that its extractor is trained with, and a place where extractors are kept.

    Args:
        tasks: the source of tasks; its test images are in no pool.
        pool: the extractor's source.
        settings: of the maker.
        corners: how many corners are compared with networks of their own, beside none and all.
    """

    name: str
    tasks: Mapping[str, Any]
    pool: Mapping[str, Any]
    settings: Mapping[str, Any]
    corners: int
    store: ArtefactStore
    _made: dict[str, Artefact] = field(default_factory=dict)

    @property
    def family(self) -> Family:
        return standard_family(1)

    def artefact(self, **changes: Any) -> Artefact:
        """With other settings for the maker; trained now if it is not there."""
        spec = ArtefactSpec(
            maker="amortised_extractor", settings={**self.settings, **changes},
            source=ProblemSpec.model_validate({"label": self.name, "source": dict(self.pool)}),
        )
        key = spec.key()
        if key not in self._made:
            try:
                self.store.manifest(key)
            except ArtefactError:
                fresh = made(spec, cache_folder())
                self.store.write(key, spec, fresh.state, fresh.ledger)
            self._made[key] = self.store.load(key)
        return self._made[key]

    def extractor(self, **changes: Any) -> Extractor:
        return Extractor(self.artefact(**changes).state)

    @cached_property
    def images(self) -> Dataset:
        return ProblemSpec.model_validate({"label": self.name, "source": dict(self.tasks)}).dataset(0)

    def test_images(self, count: int) -> Tensor:
        return torch.from_numpy(self.images.test_x[:count].copy()).float() / 255

    def problem(self, wrapper: WrapperConfig | None, seed: int, shots: int = PER_CLASS) -> ArrayProblem:
        """A task with its test images; the seed draws what is planted and the few labels."""
        limits = {op.value: max(self.family.limit(op), TRANSFORMS[op].limit) for op in self.family.operations}
        dataset = replace(self.images, limits=limits)
        for one in ([] if wrapper is None else [wrapper]) + [FewShot(shots=shots)]:
            dataset = one.wrap(dataset, seed)
        return in_memory(dataset, seed, 0)

    def context(self, problem: ArrayProblem, seed: int, artefact: Artefact | None = None) -> Context:
        meter = Meter("cpu")
        return Context(
            problem=problem.view(meter), horizon=4, slice_updates=1, seed=seed, device=torch.device("cpu"),
            meter=meter, network=builder("small_cnn"), artefacts={NAME: artefact or self.artefact()},
        )

    def task(self, problem: ArrayProblem, artefact: Artefact | None = None) -> AmortisedTask:
        """With its labelled images loaded."""
        from tracking.cost import Phase

        task = AmortisedTask(self.context(problem, 0, artefact))
        task.load(Phase.SEARCH)
        return task

    def searched(
        self, problem: ArrayProblem, seed: int, artefact: Artefact | None = None, **settings: Any
    ) -> descriptor.Descriptor:
        """The method `descriptor`, run to its end."""
        method = descriptor.Config.model_validate(settings).build(self.context(problem, seed, artefact))
        assert isinstance(method, descriptor.Descriptor)
        method.step()
        return method

    def nuisance(self, factor: Factor) -> Nuisance:
        """Over the whole range that the family is trained on, in every split."""
        return Nuisance(ranges={op.value: self.family.limit(op) for op in OPERATIONS[factor]})

    def label(self, factor: Factor) -> TransformLabel:
        """Five values of the factor's first operation."""
        operation = OPERATIONS[factor][0]
        reach = self.family.limit(operation)
        lowest = -reach if TRANSFORMS[operation].signed else 0.0
        values = tuple(float(v) for v in np.linspace(lowest, reach, VALUES))
        return TransformLabel(operation=operation.value, values=values)


def sources(folder: Path) -> dict[str, Callable[[], Pretrained]]:
    """Digits and MNIST with the long extractor; `folder` keeps extractors between runs."""
    store = ArtefactStore(Place.of(folder))
    digits = {"name": "digits"}
    mnist = {"name": "torchvision", "dataset": "MNIST", "root": str(MNIST), "size": 28, "download": False}
    return {
        "digits": lambda: Pretrained("digits", digits, digits, SETTINGS[Quality.LONG], 6, store),
        "mnist": lambda: Pretrained("mnist", {**mnist, "limit": 2000}, mnist, SETTINGS[Quality.LONG], 2, store),
    }


def accuracy(method: descriptor.Descriptor, problem: ArrayProblem) -> float:
    x, y = problem.examples(Split.TEST)
    return float(problem.score(method.predict(x), y))


def drawn_corners(family: Family, count: int) -> Tensor:
    """None, all, and `count` others that are fixed by a seed: (2 + count, K)."""
    corners = family.corners()
    order = torch.randperm(len(corners) - 2, generator=Generator().manual_seed(0))[:count] + 1
    return torch.cat((corners[[0, -1]], corners[order]))
