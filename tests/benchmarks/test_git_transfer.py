"""Figures over orders and seeds, by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import git_transfer
import pytest
from alone import run
from tail_rows import Kept
from torch import Tensor

from search.account import Cost
from search.row import Row
from tests.support.rows import row, seeds
from trainables.problems.spec import ProblemSpec


def line(method: str, order: int, *tails: float) -> Row:
    return replace(row(method, seeds(*tails), problem=f"mnist-stroke-{order}"), classes={"ekld/tail": seeds(*tails)})


DRS = [line("drs", 0, 0.4, 0.6), line("drs", 1, 0.8, 1.0)]
GIT = [line("git", 0, 0.3, 0.5), line("git", 1, 0.5, 0.7)]


def test_orders_count_once_and_runs_each() -> None:
    """Orders .5 and .9: mean .7, t_{.975, 1} = 12.706, s / sqrt 2 = .2. Runs: t_{.975, 3} = 3.182, s = .2582."""
    orders, runs = git_transfer.overall(DRS, "ekld/tail")
    assert orders.mean == pytest.approx(0.7) and orders.high == pytest.approx(0.7 + 12.706 * 0.2, rel=1e-3)
    assert runs.mean == pytest.approx(0.7) and runs.high == pytest.approx(0.7 + 3.182 * 0.2582 / 2, rel=1e-3)


def test_differences_are_of_the_same_order_and_seed() -> None:
    found = [Kept(own, reference, "one") for own, reference in zip(GIT, DRS, strict=True)]
    orders, runs = git_transfer.against(found, "ekld/tail")
    assert orders.mean == pytest.approx(-0.2) and orders.low == pytest.approx(-0.2 - 12.706 * 0.1, rel=1e-3)
    assert runs.count == 4
    assert git_transfer.against([Kept(DRS[0], None, "one")], "ekld/tail") == (None, None), "it has no reference"
    short = Kept(replace(GIT[0], classes={"ekld/tail": {2: 0.5}}), DRS[0], "one")
    assert git_transfer.against([short], "ekld/tail")[1].count == 1


def test_a_study_that_gave_up_costs_no_row_anything() -> None:
    """Its probe, 50 plain trainings, is no part of what led to the 6 of the other."""
    found = replace(GIT[0], total=Cost(6.0))
    gone = replace(row("git", {}, problem="mnist-stroke-1"), total=Cost(50.0), reason="no trial reached its horizon")
    assert git_transfer.everything([found, gone]) == 6.0
    assert git_transfer.everything([found, replace(found, total=Cost(8.0))]) == 7.0
    assert git_transfer.everything([gone]) is None


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Callable[[Tensor], Tensor]], float]:
    """The share that is kept by a transfer, on a tail of digits and after few updates; and how the judge is trained."""
    def tail(nuisance: str, order: int) -> dict[str, Any]:
        wrapper = {"name": "long_tailed", "largest": 60, "ratio": 0.1, "select": 10, "ranges": {"rotation": 20.0}}
        return {"label": "x", "source": {"name": "digits"}, "wrappers": [wrapper]}

    def share(transfer: Callable[[Tensor], Tensor]) -> float:
        problem = ProblemSpec.model_validate(tail("rotation", 0)).build(0, 0, tmp_path)
        sampler = SimpleNamespace(sample=lambda x, generator: transfer(x))
        return git_transfer.label_kept(problem, "rotation", Path(), tmp_path, sampler)

    monkeypatch.setattr(git_transfer, "mnist_tail", tail)
    monkeypatch.setattr(git_transfer, "_at", lambda problem, root: problem)
    monkeypatch.setattr(git_transfer, "NUISANCES", {"rotation": {"rotation": 20.0}})
    monkeypatch.setattr(git_transfer, "JUDGE_UPDATES", 150)
    return share


def test_a_judge_tells_what_keeps_the_class_from_what_does_not(
    judged: Callable[[Callable[[Tensor], Tensor]], float]
) -> None:
    """Nothing done: nearly all; one image for all: one class of ten; images of other classes: hardly any."""
    assert judged(lambda x: x) > 0.85
    assert judged(lambda x: x[:1].expand_as(x)) == pytest.approx(0.1, abs=0.001)
    assert judged(lambda x: x.roll(100, 0)) < 0.1


def test_the_judge_learns_on_balanced_images_under_the_nuisance(
    judged: Callable[[Callable[[Tensor], Tensor]], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def spied(config: Any, problem: Any, *rest: Any) -> Any:
        assert config.ranges == {"rotation": 20.0}, "drawn anew for each update"
        assert problem.truth is None, "images as they are, not varied twice"
        assert problem.class_sizes().tolist() == [60] * 10
        return run(config, problem, *rest)

    monkeypatch.setattr(git_transfer, "run", spied)
    judged(lambda x: x)
