"""What benchmarks/amortised.py measures: one row, a JSON object, for every piece of work that can be done again alone.

All accuracies are of the task's test split (of real targets: the share of their variance that is explained).
FLOPs are the meter's, without the harness's scoring.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from alone import SLICES, Run, run
from amortised_tasks import Data, Task, suite
from torch import Generator, Tensor, nn

from tracking.cost import Phase
from tracking.storage import Place
from trainables.artefact import Artefact, ArtefactSpec
from trainables.artefact_store import ArtefactError, ArtefactStore
from trainables.making import made
from trainables.method import Context, Method, MethodConfig, NetworkBuilder, stable_seed
from trainables.methods import augnet, descriptor, fixed_descriptor, hyperinvariances, plain, unconditional, unrolled
from trainables.modules.amortised import NAME, AmortisedTask
from trainables.modules.choice import paired
from trainables.modules.closed_form import ClosedForm, ClosedFormConfig, Selected, best_of
from trainables.modules.control import Probe, features, invariance_curves, leakage, monotony, readability
from trainables.modules.corners import all_corners
from trainables.modules.descriptor_search import SearchConfig, SearchKind
from trainables.modules.extractor import Extractor
from trainables.modules.risk_bound import risk_bound
from trainables.modules.spectrum import effective_rank, norm_ratio
from trainables.problems.problem import Kind, Problem, Split
from trainables.problems.store import cache_folder

Row = dict[str, Any]
SCRATCH: Mapping[str, MethodConfig] = {
    "unrolled": unrolled.Config(), "augnet": augnet.Config(), "plain": plain.Config(),
}
TRUNK = "_trunk"    # at the end of a rival's name
TRUNK_RATE = 0.02  # learning rate of rivals that begin with the pre-trained trunk
RANDOM = 4         # descriptors drawn per row, of which the mean is reported
RESTS = (0.0, 0.5, 1.0)


@dataclass
class Workshop:
    """Extractors by key, made where they are missing.

    Args:
        folder: where they are kept.
        seconds: of those made by this process, by key.
    """

    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)
    _loaded: dict[str, Artefact] = field(default_factory=dict)

    def get(self, spec: ArtefactSpec) -> Artefact:
        """Raises UserError where the data cannot serve."""
        key = spec.key()
        if key not in self._loaded:
            store = ArtefactStore(Place.of(self.folder))
            try:
                store.manifest(key)
            except ArtefactError:
                print(f"pre-training: {spec.label} ({key[:8]})", flush=True)
                fresh = made(spec, cache_folder())
                self.seconds[key] = fresh.ledger.phases[Phase.PRETRAIN].wall_seconds
                store.write(key, spec, fresh.state, fresh.ledger)
            self._loaded[key] = store.load(key)
        return self._loaded[key]


@dataclass(frozen=True, slots=True)
class Cell:
    """One task with its shots and seeds; everything in a row of it is paired.

    Args:
        data_seed: of the source and of the extractor's pre-training.
        seed: of the task and of the methods.
    """

    task: Task
    shots: int
    data_seed: int
    seed: int

    def name(self, extractor: bool = True) -> Row:
        """What its rows say of it.

        Args:
            extractor: whether it is another row with another extractor.
        """
        key = {"extractor": self.task.data.spec(self.data_seed).key()} if extractor else {}
        return {
            "data": self.task.data.name, "task": self.task.name, "sort": self.task.sort.value, "shots": self.shots,
            "data_seed": self.data_seed, "seed": self.seed, **key,
        }

    def problem(self) -> Problem:
        return self.task.problem(self.shots, self.data_seed, self.seed)

    def run(
        self, problem: Problem, config: MethodConfig, shop: Workshop, horizon: int = SLICES,
        network: NetworkBuilder | None = None,
    ) -> Run:
        """To its end, without Ray; what it needs is made first and not charged here."""
        needs = config.needs(self.task.spec(self.shots), self.data_seed)
        artefacts = {name: shop.get(spec) for name, spec in needs.items()}
        return run(config, problem, self.seed, horizon, network, artefacts)


class Every(ClosedFormConfig):
    """All corners of the cube, each judged by leave-one-out on all labels: the search that nothing is skipped in."""

    def needs(self, problem: Any, data_seed: int) -> Mapping[str, ArtefactSpec]:
        return {NAME: self.extractor.spec(problem, data_seed)}

    def build(self, context: Context) -> ClosedForm:
        def select(task: AmortisedTask, phase: Phase) -> Selected:
            return best_of(task, all_corners(len(task.extractor.family.factors)), SearchConfig(), phase)

        return ClosedForm(context, self, select, Phase.SEARCH)


def amortised(cell: Cell, shop: Workshop, papers: bool, brief: bool = False) -> Row:
    """Everything that stands on a pre-trained extractor.

    Args:
        papers: with the unconditional extractor and the papers' method, each on an extractor of its own.
        brief: without random descriptors and other searches.
    """
    problem = cell.problem()
    runs = {name: cell.run(problem, config, shop) for name, config in _configs(cell, papers, brief).items()}
    chosen = runs["descriptor"].method
    assert isinstance(chosen, ClosedForm)
    random = [runs.pop(name).score(problem, Split.TEST) for name in list(runs) if name.startswith("random ")]
    scores = {name: run.score(problem, Split.TEST) for name, run in runs.items()}
    if random:
        scores["random"] = sum(random) / len(random)
    return {
        "part": "amortised", **cell.name(), "labels": problem.size(),
        "accuracy": scores, "flops": {name: run.flops for name, run in runs.items()},
        "seconds": {name: run.seconds for name, run in runs.items()},
        "descriptor": {name: _entries(run.method) for name, run in runs.items() if "descriptor" in name},
        **_behind(problem, chosen, runs["corners"].method), "bound": _bound(chosen),
    }


def _configs(cell: Cell, papers: bool, brief: bool) -> dict[str, MethodConfig]:
    task, choice = cell.task, cell.task.data.choice
    factors = [factor.value for factor in task.data.family.factors]
    generator = Generator().manual_seed(stable_seed("random descriptors", cell.seed))
    drawn = torch.rand(RANDOM, len(factors), generator=generator).tolist()
    fixed: dict[str, dict[str, float]] = {
        "all_on": dict.fromkeys(factors, 1.0), "all_off": dict.fromkeys(factors, 0.0),
        "oracle": task.oracle(1.0), "oracle_rest_off": task.oracle(0.0),
    }
    configs: dict[str, MethodConfig] = {"descriptor": descriptor.Config(extractor=choice)}
    if not brief:
        fixed |= {f"random {k}": dict(zip(factors, entries, strict=True)) for k, entries in enumerate(drawn)}
        for how in (SearchKind.GRADIENT, SearchKind.CORNERS):
            configs[f"descriptor_{how}"] = descriptor.Config(extractor=choice, search=how)
    configs |= {
        "corners": Every(extractor=choice),
        **{name: fixed_descriptor.Config(extractor=choice, **entries) for name, entries in fixed.items()},
    }
    if papers:
        configs["unconditional"] = unconditional.Config(extractor=choice)
        configs["hyperinvariances"] = hyperinvariances.Config(extractor=choice)
    return configs


def _behind(problem: Problem, chosen: ClosedForm, corners: Method) -> Row:
    """By how much the chosen descriptor's squared error on test images exceeds that of the best corner, paired."""
    assert isinstance(corners, ClosedForm)
    x, y = problem.examples(Split.TEST)
    classes = problem.kind is Kind.CLASSIFICATION
    target = torch.nn.functional.one_hot(y, problem.outputs).double() if classes else y.double()
    losses = [(method.predict(x) / method.head.sharpness - target).square().sum(-1) for method in (chosen, corners)]
    mean, error = paired(losses[0], losses[1])
    return {"behind": float(mean), "behind_error": float(error)}


def _bound(chosen: ClosedForm) -> Row:
    """The terms of the risk bound."""
    seen = chosen.task.features(chosen.descriptor[None], None)[0]
    found = risk_bound(seen, chosen.head.ridge, chosen.task.targets, chosen.choices, feature_norm=1.0)
    return {
        "empirical": found.empirical, "complexity": found.complexity, "price": found.price,
        "price_of_one": found.price_of_one, "total": found.total,
    }


def _entries(method: Method) -> list[float]:
    assert isinstance(method, ClosedForm)
    return [round(float(entry), 4) for entry in method.descriptor]


def rival(cell: Cell, shop: Workshop, name: str, horizon: int) -> Row:
    """A method that trains for the task alone, at one budget.

    Args:
        name: of SCRATCH; with TRUNK at its end it begins with the pre-trained trunk, everything on.
        horizon: updates.
    """
    problem, config, network = cell.problem(), SCRATCH[name.removesuffix(TRUNK)], None
    if name.endswith(TRUNK):
        config = config.model_copy(update={"learning_rate": TRUNK_RATE})
        state = shop.get(cell.task.data.spec(cell.data_seed)).state
        network = lambda shape, outputs: Tuned(Extractor(state), outputs)  # noqa: E731
    run = cell.run(problem, config, shop, horizon, network)
    return {
        "part": "rival", **cell.name(name.endswith(TRUNK)), "method": name, "horizon": horizon,
        "labels": problem.size(), "accuracy": run.score(problem, Split.TEST),
        "select": run.score(problem, Split.SELECT), "flops": run.flops, "seconds": run.seconds,
    }


class Tuned(nn.Module):
    """The pre-trained trunk with everything on, and a linear head; all of it learns."""

    def __init__(self, extractor: Extractor, outputs: int) -> None:
        super().__init__()
        self.trunk = extractor.bake(torch.ones(len(extractor.family.factors))).requires_grad_(True)
        self.scale = extractor.features**0.5  # features have length one
        self.head = nn.Linear(extractor.features, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.scale * self.trunk(x))  # type: ignore[no-any-return]


def controlled(data: Data, data_seed: int, shop: Workshop, images: int) -> Row:
    """What the descriptor does to an extractor, on so many test images that it never saw."""
    spec = data.spec(data_seed)
    extractor = Extractor(shop.get(spec).state)
    x = suite(data)[0].problem(10, data_seed, 0).examples(Split.TEST, images).x
    probe = Probe.draw(extractor, x, Generator().manual_seed(stable_seed("control", data_seed)))
    curves = torch.stack([invariance_curves(probe, rest) for rest in RESTS])  # (rests, K, points)
    moved = leakage(probe, 0.5)
    ends = torch.tensor([[0.0], [1.0]]).expand(2, probe.factors)
    corners = features(extractor, probe.plain, all_corners(probe.factors))
    return {
        "part": "control", "data": data.name, "data_seed": data_seed, "extractor": spec.key(),
        "factors": [factor.value for factor in extractor.family.factors],
        "curves": curves.tolist(), "spearman": monotony(curves).tolist(),
        "span": (curves[..., -1] - curves[..., 0]).tolist(), "leakage": moved.tolist(),
        "readability": readability(probe, ends).tolist(),
        "effective_rank_min": float(effective_rank(corners).min()), "norm_ratio": float(norm_ratio(corners)),
        "features": extractor.features,
    }


def extractors(data: Data, data_seed: int, papers: bool) -> dict[str, ArtefactSpec]:
    """What is pre-trained for the methods of `amortised`, by method."""
    found = {"descriptor": data.spec(data_seed)}
    if papers:
        for name, method in (("unconditional", unconditional), ("hyperinvariances", hyperinvariances)):
            found[name] = method.Config(extractor=data.choice).needs(data.source, data_seed)[NAME]
    return found


def pretrained(data: Data, data_seed: int, method: str, spec: ArtefactSpec, shop: Workshop) -> Row:
    """The cost of one extractor; seconds are None where it came from the cache."""
    ledger = shop.get(spec).ledger
    return {
        "part": "pretrain", "data": data.name, "data_seed": data_seed, "method": method, "extractor": spec.key(),
        "quality": data.quality.value, "horizon": spec.config().horizon, "changed": dict(data.settings),
        "flops": ledger.phases[Phase.PRETRAIN].flops, "seconds": shop.seconds.get(spec.key()),
        "threads": torch.get_num_threads(),
    }
