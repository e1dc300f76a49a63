"""The oracle draws the planted T anew, from images of before it: known levels of backgrounds, and who is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.trials import assignment, finish
from tracking.cost import Meter
from tracking.record import Stage
from trainables import methods
from trainables.harness import Harness
from trainables.method import Context
from trainables.methods import oracle
from trainables.modules.networks import builder
from trainables.modules.tail_augmentation import Mixing
from trainables.problems.array_problem import ArrayProblem
from trainables.problems.problem import LEARNABLE, ByClass
from trainables.problems.spec import ProblemSpec

LEVEL = 99 / 255
TAIL: dict[str, Any] = {"name": "long_tailed", "largest": 60, "ratio": 0.1, "select": 10}
Seen = list[tuple[Tensor, Tensor, Tensor]]  # stored, mixed, labels


class Watched(oracle.Oracle):
    """Notes what a batch was before and after."""

    seen: Seen

    def _mixed(self, mixing: Mixing, source: Tensor, x: Tensor, y: Tensor, progress: float) -> Tensor:
        mixed = super()._mixed(mixing, source, x, y, progress)
        self.seen.append((x, mixed, y))
        return mixed


RULES: dict[str, Any] = {"uniform": {}, "resampled": {"imbalance": {"sampling": "balanced", "delay": 0.5}}}


@pytest.fixture(params=list(RULES))
def rule(request: pytest.FixtureRequest) -> dict[str, Any]:
    """How examples are drawn; the second changes half way."""
    found: dict[str, Any] = RULES[request.param]
    return found


@pytest.fixture(params=["background", "rotation"])
def nuisance(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def context(folder: Path, name: str = "background", told: bool = True) -> Context:
    ranges = {name: LEVEL if name == "background" else 60.0}
    spec = ProblemSpec(
        label="x", source={"name": "digits"}, wrappers=({**TAIL, "ranges": ranges},), actions=("background",)
    )
    problem, meter = spec.build(0, 0, folder), Meter("cpu")
    assert isinstance(problem, ArrayProblem)
    return Context(
        problem=problem.view(meter), horizon=40, slice_updates=20, seed=3, device=torch.device("cpu"), meter=meter,
        network=builder("mlp"), originals=problem.originals() if told else None,
    )


def watched(context: Context, **settings: Any) -> Seen:
    method = Watched(context, oracle.Config(cutoff=20, **settings))
    method.seen = []
    while not method.step().done:
        pass
    return method.seen


def levels(x: Tensor) -> Tensor:
    """Of the grounds of digits (B,): the most frequent value."""
    return x.flatten(1).mode(1).values


def test_a_ground_gets_darker_as_often_as_brighter(tmp_path: Path) -> None:
    """Both levels are uniform in [0, L]: within 4 standard errors of a half, so one false alarm in 16,000."""
    made = context(tmp_path)
    assert isinstance(made.problem, ByClass)
    small = made.problem.class_sizes(*LEARNABLE) <= 20
    seen = watched(made, ranges={"background": LEVEL})
    before, after = (torch.cat([levels(batch[part][small[batch[2]]]) for batch in seen]) for part in (0, 1))
    n = len(before)
    assert n > 100 and abs(float((after < before).float().mean()) - 0.5) < 4 * 0.5 / n**0.5
    assert abs(float(after.mean()) - LEVEL / 2) < 4 * LEVEL / 12**0.5 / n**0.5


def test_on_top_of_the_nuisance_it_never_does(tmp_path: Path) -> None:
    """The negative control: T twice."""
    for x, mixed, _ in watched(context(tmp_path), ranges={"background": LEVEL}, redraws=False):
        assert bool((levels(mixed) >= levels(x)).all())


def test_other_classes_keep_the_images_that_are_stored(tmp_path: Path, nuisance: str) -> None:
    made = context(tmp_path, nuisance)
    assert isinstance(made.problem, ByClass)
    small = made.problem.class_sizes(*LEARNABLE) <= 20
    for x, mixed, y in watched(made, ranges={nuisance: LEVEL}):
        assert torch.equal(x[~small[y]], mixed[~small[y]])


def test_examples_come_in_the_same_order(tmp_path: Path, nuisance: str, rule: dict[str, Any]) -> None:
    """Paired with every other method: drawing twice from two forms of the rows moves no stream."""
    first, second = (
        watched(context(tmp_path, nuisance), ranges={nuisance: LEVEL}, redraws=r, **rule) for r in (True, False)
    )
    for (x, _, y), (again, _, labels) in zip(first, second, strict=True):
        assert torch.equal(x, again) and torch.equal(y, labels)


def test_what_is_drawn_anew_is_of_the_same_image(tmp_path: Path, rule: dict[str, Any]) -> None:
    """Grounds have other levels, and every other pixel of an augmented digit is the stored one's."""
    changed = 0
    for x, mixed, _ in watched(context(tmp_path), ranges={"background": LEVEL}, **rule):
        inked = (x != levels(x)[:, None, None, None]) & (mixed != levels(mixed)[:, None, None, None])
        assert float(((x - mixed) * inked).abs().max()) < 1e-6
        changed += int((levels(x) != levels(mixed)).sum())
    assert changed > 50


def test_everything_is_drawn_anew_without_a_cutoff(tmp_path: Path, rule: dict[str, Any]) -> None:
    """Nothing of the stored images is left: ranges of 0 train on the originals themselves."""
    def weights(made: Context, **settings: Any) -> Tensor:
        method = oracle.Config(**settings, **rule).build(made)
        while not method.step().done:
            pass
        return torch.cat([p.detach().flatten() for p in method.trunk.network.parameters()])

    made = context(tmp_path)
    still = weights(made, ranges={"background": 0.0})
    assert made.originals is not None
    clean = replace(context(tmp_path), problem=made.originals, originals=None)
    assert torch.equal(still, weights(clean, ranges={}))
    assert not torch.equal(still, weights(context(tmp_path), ranges={}))


def test_the_harness_tells_the_oracle_and_nobody_else(tmp_path: Path) -> None:
    told = Harness(assignment(tmp_path, "oracle"))._context()
    assert told.originals is not None
    assert Harness(assignment(tmp_path, "trivial_augment"))._context().originals is None
    nothing = ProblemSpec(label="x", source={"name": "digits"})
    assert Harness(assignment(tmp_path, "oracle", problem=nothing))._context().originals is None


def test_only_the_oracle_asks_to_be_told() -> None:
    assert {name for name in methods.names() if methods.config_class(name).told} == {"oracle"}


def test_a_resumed_oracle_ends_bit_for_bit_alike(tmp_path: Path) -> None:
    ranges = {"settings": {"batch_size": 8, "ranges": {"rotation": 30.0}}}
    whole = finish(Harness(assignment(tmp_path / "a", "oracle", Stage.RERUN, **ranges)))
    first = Harness(assignment(tmp_path / "b", "oracle", Stage.RERUN, **ranges))
    first.advance()
    first.save()
    rest = finish(Harness(assignment(tmp_path / "b", "oracle", Stage.RERUN, **ranges)))
    assert rest[-1].score == whole[-1].score
    assert rest[-1].metrics["test/score"] == whole[-1].metrics["test/score"]
