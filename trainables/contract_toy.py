"""The smallest context a method can be held to its contract on: three classes of 8x8 images."""

from __future__ import annotations

import numpy as np
import torch

from tracking.cost import Meter
from trainables.method import Context
from trainables.modules.networks import mlp
from trainables.problems.dataset import Array, labelled, stream
from trainables.problems.spec import in_memory

CLASSES, PER_CLASS = 3, 24
HORIZON, SLICE_UPDATES = 5, 2  # the last slice is a shorter one


def toy_context(seed: int = 0) -> Context:
    """A fresh context on the CPU; equal in everything for equal seeds.

    Classes are bars at three positions plus noise. The horizon is not a multiple of the slice.
    """
    meter = Meter("cpu")
    pool, test = _images("pool", PER_CLASS), _images("test", PER_CLASS // 2)
    dataset = labelled(*pool, *test, ("top", "middle", "bottom"))
    return Context(
        problem=in_memory(dataset, seed=0, partition=0).view(meter),
        horizon=HORIZON,
        slice_updates=SLICE_UPDATES,
        seed=seed,
        device=torch.device("cpu"),
        meter=meter,
        network=lambda shape, outputs: mlp(shape, outputs, width=16),
    )


def _images(part: str, per_class: int) -> tuple[Array, Array]:
    y = np.arange(per_class * CLASSES) % CLASSES
    x = stream("contract", part).integers(0, 60, size=(len(y), 1, 8, 8))
    for label in range(CLASSES):
        x[y == label, :, 1 + 2 * label : 3 + 2 * label, 1:6] += 150
    return x.astype(np.uint8), y
