"""The smallest context a method can be held to its contract on: three classes of 8x8 images."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import torch

from tracking.cost import Meter
from trainables.artefact import Artefact, ArtefactSpec
from trainables.maker import MakerContext, pool_of
from trainables.method import Context, MethodConfig
from trainables.modules.amortised import NAME as EXTRACTOR
from trainables.modules.generators.choice import NAME as GENERATOR
from trainables.modules.networks import mlp
from trainables.problems.array_view import Rows
from trainables.problems.dataset import POOL, Array, Dataset, labelled, stream
from trainables.problems.layers import Config as Layers
from trainables.problems.partition import partition_rows
from trainables.problems.patterns import Layer
from trainables.problems.problem import Problem, Split
from trainables.problems.spec import ProblemSpec, in_memory

Make = Callable[[], Context]  # a fresh, equal context at every call
CLASSES, PER_CLASS = 3, 24
HORIZON, SLICE_UPDATES = 5, 2  # the last slice is a shorter one
# What methods stand on, by the names that they give: its maker, and settings as JSON.
TOY_ARTEFACTS = {
    EXTRACTOR: (
        "amortised_extractor", '{"horizon": 2, "width": 8, "features": 16, "groups": 2, "images": 4}',
    ),
    GENERATOR: ("style_generator", '{"horizon": 2, "batch_size": 4, "network": {"width": 4}}'),
}


def toy_context(seed: int = 0) -> Context:
    """A fresh context on the CPU; equal in everything for equal seeds.

    Classes are bars at three positions plus noise. The horizon is not a multiple of the slice.
    """
    meter = Meter("cpu")
    return Context(
        problem=in_memory(_toy(), seed=0, partition=0).view(meter),
        horizon=HORIZON,
        slice_updates=SLICE_UPDATES,
        seed=seed,
        device=torch.device("cpu"),
        meter=meter,
        network=lambda shape, outputs: mlp(shape, outputs, width=16),
        artefacts=_OnDemand(),
    )


def toy_tasks_context(seed: int = 0) -> Context:
    """The same for methods that adapt to tasks: a linear layer that commutes with shifts of 16 points."""
    meter = Meter("cpu")
    problem = _toy_tasks()
    return replace(toy_context(seed), problem=problem.view(meter), meter=meter)


def toy_of(config_class: type[MethodConfig]) -> Make:
    """The toy that a method is held to its contract on."""
    return toy_tasks_context if config_class.adapts else toy_context


def toy_maker_context(seed: int = 0) -> MakerContext:
    """The same for a maker of artefacts."""
    meter = Meter("cpu")
    return MakerContext(
        problem=pool_of(in_memory(_toy(), seed=0, partition=0), meter, "toy"), horizon=HORIZON,
        slice_updates=SLICE_UPDATES, seed=seed, device=torch.device("cpu"), meter=meter,
    )


class _OnDemand(Mapping[str, Artefact]):
    """What methods stand on, trained for two updates, once per process."""

    def __getitem__(self, name: str) -> Artefact:
        return _toy_artefact(*TOY_ARTEFACTS[name])

    def __iter__(self) -> Iterator[str]:
        return iter(TOY_ARTEFACTS)

    def __len__(self) -> int:
        return len(TOY_ARTEFACTS)


@cache
def _toy_artefact(maker: str, settings: str) -> Artefact:
    spec = ArtefactSpec(
        maker=maker, settings=json.loads(settings),
        source=ProblemSpec.model_validate({"label": "toy", "source": {"name": "digits", "size": 8}}),
    )
    meter = Meter("cpu")
    pool = pool_of(in_memory(_toy(), seed=0, partition=0), meter, "toy")
    made = spec.config().build(MakerContext(
        problem=pool, horizon=2, slice_updates=2, seed=0, device=torch.device("cpu"), meter=meter,
    ))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # it is kept for all checks: its last bits must not be those of who asked first
    try:
        made.step()
        state = made.result()
    finally:
        torch.set_num_threads(threads)
    return Artefact(key=spec.key(), spec=spec, ledger=meter.ledger(), read=lambda: state)


@cache
def _toy_tasks() -> Problem:
    config = Layers(layer=Layer.CYCLIC, tasks=60, shots=2, queries=4)
    dataset = config.load(0)
    rows = partition_rows(dataset, 0, 0)
    divided = {split: Rows(dataset.pool[split][rows[split]], dataset.pool_y[rows[split]]) for split in POOL}
    return config.assemble({**divided, Split.TEST: Rows(dataset.test_x, dataset.test_y)}, dataset, 0)


def _toy() -> Dataset:
    return labelled(*_images("pool", PER_CLASS), *_images("test", PER_CLASS // 2), ("top", "middle", "bottom"))


def _images(part: str, per_class: int) -> tuple[Array, Array]:
    y = np.arange(per_class * CLASSES) % CLASSES
    x = stream("contract", part).integers(0, 60, size=(len(y), 1, 8, 8))
    for label in range(CLASSES):
        x[y == label, :, 1 + 2 * label : 3 + 2 * label, 1:6] += 150
    return x.astype(np.uint8), y
