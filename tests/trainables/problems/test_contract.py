"""The contract suite over all house problems and toys, and a broken problem that each check must reject."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from tests.support.toy_problems import EpisodicToy, image_toy, regression_toy, signal_toy
from trainables.problems import contract
from trainables.problems.array_problem import ArrayProblem
from trainables.problems.array_view import ArrayView, Rows
from trainables.problems.contract import ALL_CHECKS, Build, Check
from trainables.problems.problem import LEARNABLE, Batch, Problem, Split
from trainables.problems.spec import ProblemSpec, in_memory

DATA = Path(__file__).resolve().parents[3].parent / "shared/data"

DIGITS = {"name": "digits"}
SPECS: dict[str, dict[str, Any]] = {
    "digits": {"source": DIGITS},
    "glyphs": {"source": {"name": "glyphs", "images": 120, "test": 40}},
    "layers": {"source": {"name": "layers", "layer": "rank2", "tasks": 100}},
    "layers in two dimensions": {"source": {"name": "layers", "layer": "2d_rot8", "tasks": 40}},
    "episodes": {
        "source": DIGITS, "wrappers": [{"name": "episodes", "ways": 3, "ranges": {"rotation": 45.0}}],
        "shares": (0.4, 0.2, 0.4),
    },
    "sinusoids": {"source": {"name": "sinusoids", "per_class": 36}},
    "digits few-shot": {"source": DIGITS, "wrappers": [{"name": "few_shot", "shots": 5}]},
    "digits rotated": {"source": DIGITS, "wrappers": [{"name": "nuisance", "ranges": {"rotation": 30}}]},
    "digits, only select and test rotated": {
        "source": DIGITS,
        "wrappers": [{"name": "nuisance", "ranges": {"rotation": 30}, "on": ["select", "test"]}],
    },
    "digits, which rotation": {
        "source": DIGITS,
        "wrappers": [{"name": "transform_label", "operation": "rotation", "values": [0, 45, 90]}],
    },
    "digits, how far rotated": {
        "source": DIGITS,
        "wrappers": [{"name": "transform_target", "operation": "rotation"}, {"name": "few_shot", "shots": 60}],
    },
    "digits, labels of outer and select shuffled": {"source": DIGITS, "wrappers": [{"name": "shuffled_labels"}]},
    "digits, long tail": {
        "source": DIGITS, "actions": ["background", "stroke"],
        "wrappers": [{"name": "long_tailed", "ratio": 0.05, "ranges": {"stroke": 3.0, "background": 0.3}}],
    },
    "digits, few draws in the tail": {
        "source": DIGITS,
        "wrappers": [{"name": "long_tailed", "largest": 40, "ratio": 0.1, "draws": 4, "ranges": {"rotation": 60.0}}],
    },
    "digits, all wrappers": {
        "source": DIGITS,
        "wrappers": [
            {"name": "few_shot", "shots": 20},
            {"name": "nuisance", "ranges": {"translate_x": 0.2, "brightness": 0.3}},
            {"name": "transform_label", "operation": "rotation", "values": [0, 90]},
        ],
    },
    "MNIST": {"source": {"name": "torchvision", "dataset": "MNIST", "root": str(DATA), "limit": 300}},
}
TOYS: dict[str, Build] = {
    "image toy": image_toy,
    "signal toy": signal_toy,
    "regression toy": regression_toy,
    "episodic toy": EpisodicToy,
}


@pytest.fixture(scope="module")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def build_of(name: str, folder: Path) -> Build:
    if name in TOYS:
        return TOYS[name]
    if name == "MNIST" and not DATA.is_dir():
        pytest.skip(f"MNIST must lie under {DATA}")
    spec = ProblemSpec(label=name, **SPECS[name])
    return lambda seed, partition: spec.build(seed, partition, folder)


@pytest.mark.parametrize("check", ALL_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", [*SPECS, *TOYS])
def test_contract(name: str, check: Check, cache_folder: Path) -> None:
    check(build_of(name, cache_folder))


# One broken problem per way of failing: each changes the image toy in one point and must be found.


class Broken(ArrayProblem):
    """The image toy with parts exchanged."""

    __slots__ = ("changes",)

    def __init__(self, seed: int = 0, partition: int = 0, **changes: Any) -> None:
        toy = image_toy(seed, partition)
        super().__init__(toy._rows, changes.pop("description", toy._description), toy.truth, clean=toy._clean)
        self.changes = changes

    def examples(self, split: Split, limit: int | None = None) -> Batch:
        batch = super().examples(split, limit)
        return self.changes["examples"](self, split, batch) if "examples" in self.changes else batch

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        return self.changes.get("loss", super().loss)(outputs, y)

    def score(self, outputs: Tensor, y: Tensor) -> Tensor:
        return self.changes.get("score", super().score)(outputs, y)

    def originals(self) -> ArrayView | None:
        found = super().originals()
        if found is not None and "shifted" in self.changes:
            moved = {split: Rows(row.x, np.roll(row.y, 1)) for split, row in found._learnable.items()}
            return ArrayView(moved, self._description)
        return found

    def view(self, meter: object = None) -> ArrayView:
        view: type[ArrayView] = self.changes.get("view", ArrayView)
        return self.changes.get("given", lambda _, view: view)(self, view(self._learnable, self._description))


class GlobalDraw(ArrayView):
    __slots__ = ()

    def draw(self, generator: Generator, size: int, *splits: Split) -> Batch:
        return super().draw(Generator().manual_seed(int(torch.randint(1000, ()))), size, *splits)


class FixedDraw(ArrayView):
    __slots__ = ()

    def draw(self, generator: Generator, size: int, *splits: Split) -> Batch:
        return super().draw(Generator().manual_seed(0), size, *splits)

    def episode(self, generator: Generator, shots: int, queries: int, *splits: Split) -> Any:
        return super().episode(Generator().manual_seed(0), shots, queries, *splits)

    def unlabelled(self, generator: Generator, size: int) -> Tensor:
        return super().unlabelled(Generator().manual_seed(0), size)


class Obliging(ArrayView):
    """Hands out train instead of refusing."""

    __slots__ = ()

    def draw(self, generator: Generator, size: int, *splits: Split) -> Batch:
        return super().draw(generator, size, *[split for split in splits if split in LEARNABLE])


class Leaky(ArrayView):
    """Keeps a way back to what it was made from."""

    __slots__ = ("kept",)

    kept: object


def leaking(what: Callable[[ArrayProblem], object]) -> Callable[[ArrayProblem, Leaky], Leaky]:
    def given(problem: ArrayProblem, view: Leaky) -> Leaky:
        view.kept = what(problem)
        return view

    return given


def overlapping(problem: Broken, split: Split, batch: Batch) -> Batch:
    return ArrayProblem.examples(problem, Split.TRAIN, 6) if split is Split.TEST else batch


def one_class(problem: Broken, split: Split, batch: Batch) -> Batch:
    return Batch(batch.x, batch.y * 0) if split is Split.SELECT else batch


def lopsided(problem: Broken, split: Split, batch: Batch) -> Batch:
    if len(batch.y) <= 20:
        return batch
    return Batch(batch.x, torch.cat((batch.y[:-9], torch.zeros(9, dtype=torch.int64))))


def bytes_not_floats(problem: Broken, split: Split, batch: Batch) -> Batch:
    return Batch((batch.x * 255).round(), batch.y)


def with_bank(**changes: Any) -> Any:
    description = image_toy()._description
    bank = tuple(dataclasses.replace(action, **changes) for action in description.transform_bank)
    return dataclasses.replace(description, transform_bank=bank)


def unseeded(seed: int, partition: int) -> Problem:
    return image_toy(seed, int(np.random.default_rng().integers(10**6)))


def undivided(seed: int, partition: int) -> Problem:
    return image_toy(seed, 0)


def other_pool(seed: int, partition: int) -> Problem:
    return image_toy(seed + partition, partition)


@cache
def in_ram(seed: int, partition: int) -> Problem:
    spec = ProblemSpec(label="digits", source={"name": "digits"})
    return in_memory(spec.dataset(seed), seed, partition)


REJECTED: Mapping[str, tuple[Check, Build]] = {
    "test examples from train": (contract.check_splits_disjoint, partial(Broken, examples=overlapping)),
    "a class missing": (contract.check_stratified, partial(Broken, examples=one_class)),
    "unequal shares": (contract.check_stratified, partial(Broken, examples=lopsided)),
    "another division every time": (contract.check_seeded, unseeded),
    "one division for all partitions": (contract.check_seeded, undivided),
    "another pool per partition": (contract.check_seeded, other_pool),
    "global random state": (contract.check_draw_uses_generator_only, partial(Broken, view=GlobalDraw)),
    "generator ignored": (contract.check_draw_uses_generator_only, partial(Broken, view=FixedDraw)),
    "0..255": (contract.check_shapes_and_ranges, partial(Broken, examples=bytes_not_floats)),
    "T_0 moves": (
        contract.check_identity,
        partial(Broken, description=with_bank(apply=lambda x, v: x.flip(-1))),
    ),
    "T_1 does nothing": (
        contract.check_identity,
        partial(Broken, description=with_bank(apply=lambda x, v: x)),
    ),
    "loss reduced": (
        contract.check_loss_and_score,
        partial(Broken, loss=lambda outputs, y: torch.nn.functional.cross_entropy(outputs, y)),
    ),
    "lower is better": (
        contract.check_loss_and_score,
        partial(Broken, score=lambda outputs, y: -(outputs.argmax(-1) == y).float().mean()),
    ),
    "view hands out train instead": (contract.check_view_forbids, partial(Broken, view=Obliging)),
    "view keeps the problem": (
        contract.check_view_cannot_reach,
        partial(Broken, view=Leaky, given=leaking(lambda problem: problem)),
    ),
    "view keeps the test array in a closure": (
        contract.check_view_cannot_reach,
        partial(Broken, view=Leaky, given=leaking(lambda problem: lambda x=problem._rows[Split.TEST].x: x)),
    ),
    "originals of other rows": (contract.check_originals_align, partial(Broken, shifted=1)),
    "view keeps images before the nuisance": (
        contract.check_view_cannot_reach,
        partial(Broken, view=Leaky, given=leaking(lambda problem: [problem._clean[Split.OUTER]])),
    ),
    "view keeps a bound method": (
        contract.check_view_cannot_reach,
        partial(Broken, view=Leaky, given=leaking(lambda problem: problem.examples)),
    ),
    "view keeps the truth": (
        contract.check_view_cannot_reach,
        partial(Broken, view=Leaky, given=leaking(lambda problem: [problem.truth])),
    ),
    "arrays in memory": (contract.check_mapped_once, in_ram),
}


@pytest.mark.parametrize("name", REJECTED)
def test_contract_rejects(name: str) -> None:
    check, build = REJECTED[name]
    with pytest.raises(AssertionError):
        check(build)


def test_every_check_has_a_negative_control() -> None:
    assert {check for check, _ in REJECTED.values()} == set(ALL_CHECKS)


def test_fresh_process_gives_the_same_numbers(cache_folder: Path, tmp_path: Path) -> None:
    spec = ProblemSpec(label="digits", **SPECS["digits, all wrappers"])
    here = contract.fingerprint(spec.build(3, 1, cache_folder))
    code = (
        "import sys; from pathlib import Path; from trainables.problems.spec import ProblemSpec\n"
        "from trainables.problems.contract import fingerprint\n"
        "spec = ProblemSpec.model_validate_json(sys.argv[1])\n"
        "print(fingerprint(spec.build(3, 1, Path(sys.argv[2]))))"
    )
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-c", code, spec.model_dump_json(), str(tmp_path)]
    there = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.strip()
    assert here == there
