"""How long a search takes and what conditioning costs: the timings of benchmarks/amortised.py."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from copy import deepcopy

import torch
from amortised_rows import Row, Workshop
from amortised_tasks import Data, suite
from torch import Generator, Tensor, nn

from tracking.cost import Meter, Phase
from trainables.method import Context
from trainables.modules.amortised import NAME, AmortisedTask
from trainables.modules.contrast import info_nce
from trainables.modules.descriptor_search import SearchKind, search
from trainables.modules.extractor import Extractor
from trainables.modules.networks import builder

LEARNED_FIFTY = 67  # shots of which 50 per class are train and outer
FIVE = 5            # entries whose corners are all searched
GROUPS, IMAGES = 8, 96  # of the training step: groups, and images of all three views


def searches(data: Data, shop: Workshop, runs: int) -> Row:
    """Wall seconds from 500 labelled images to a chosen descriptor, medians; and the process's peak of memory.

    Args:
        data: of ten classes.
        runs: of each kind, in turns.
    """
    problem, spec = suite(data)[0].problem(LEARNED_FIFTY, 0, 0), data.spec(0)
    meter = Meter("cpu")
    meter.reset_peaks()
    context = Context(
        problem=problem.view(meter), horizon=1, slice_updates=1, seed=0, device=torch.device("cpu"), meter=meter,
        network=builder("small_cnn"), artefacts={NAME: shop.get(spec)},
    )
    loaded = AmortisedTask(context)
    factors = len(loaded.extractor.family.factors)
    kinds = {
        "gradient": (SearchKind.GRADIENT, factors), "corners": (SearchKind.CORNERS, min(FIVE, factors)),
        "corners_all": (SearchKind.CORNERS, factors), "menu": (SearchKind.MENU, factors),
    }
    walls: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(runs):
        for name, (how, entries) in kinds.items():
            walls[name].append(_seconds(lambda how=how, entries=entries: _search(loaded, how, entries)))
    peak = meter.ledger().peak_host_bytes
    return {
        "part": "searches", "data": data.name, "extractor": spec.key(),
        "labels": len(loaded.targets), "runs": runs, "threads": torch.get_num_threads(),
        "peak_mib": None if peak is None else peak / 2**20,
        **{name: statistics.median(times) for name, times in walls.items()},
    }


def _search(task: AmortisedTask, how: SearchKind, entries: int) -> None:
    """All of it: images through the stem, the search. The entries beyond the first `entries` are on."""
    task.load(Phase.SEARCH)
    factors = len(task.extractor.family.factors)

    def features(descriptors: Tensor, rows: Tensor | None) -> Tensor:
        on = torch.ones(len(descriptors), factors - entries)
        return task.features(torch.cat((descriptors, on), -1), rows)

    search(features, task.targets, how, torch.ones(entries), Generator().manual_seed(0))


def conditioning(data: Data, shop: Workshop, turns: int) -> Row:
    """Forward and backward of a contrastive step, conditioned against the same network with the descriptor baked in.

    Both sides take turns on the same images, groups and loss.
    """
    spec = data.spec(0)
    extractor = Extractor(shop.get(spec).state)
    generator = Generator().manual_seed(0)
    x = torch.rand(GROUPS, IMAGES, *extractor.shape, generator=generator)
    descriptors = torch.rand(GROUPS, len(extractor.family.factors), generator=generator)
    conditioned = deepcopy(extractor.network).requires_grad_(True)
    unconditioned = extractor.bake(descriptors[0]).requires_grad_(True)
    sides: dict[str, Callable[[], None]] = {
        "conditioned": lambda: _step(conditioned, lambda: conditioned.groups(x, descriptors)),
        "unconditioned": lambda: _step(
            unconditioned, lambda: unconditioned(x.flatten(0, 1)).unflatten(0, (GROUPS, IMAGES))
        ),
    }
    for side in sides.values():
        side()
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(turns):
        for name, side in sides.items():
            times[name].append(_seconds(side))
    ratios = [one / other for one, other in zip(times["conditioned"], times["unconditioned"], strict=True)]
    return {
        "part": "conditioning", "data": data.name, "extractor": spec.key(),
        "turns": turns, "threads": torch.get_num_threads(), "ratio": statistics.median(ratios),
        "conditioned_ms": 1000 * statistics.median(times["conditioned"]),
        "unconditioned_ms": 1000 * statistics.median(times["unconditioned"]),
    }


def _step(network: nn.Module, features: Callable[[], Tensor]) -> None:
    first, second, third = features().chunk(3, 1)
    loss = info_nce(first, second, 0.2) + info_nce(first, third, 0.2)
    used = [parameter for parameter in network.parameters() if parameter.requires_grad]
    torch.autograd.grad(loss, used, allow_unused=True)


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
