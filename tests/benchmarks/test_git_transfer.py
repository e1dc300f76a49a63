"""Figures over orders and seeds, by hand."""

from __future__ import annotations

from dataclasses import replace

import git_transfer
import pytest

from search.row import Row
from tests.support.rows import row, seeds


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
    orders, runs = git_transfer.against(GIT, list(reversed(DRS)), "ekld/tail")
    assert orders.mean == pytest.approx(-0.2) and orders.low == pytest.approx(-0.2 - 12.706 * 0.1, rel=1e-3)
    assert runs.count == 4
    assert git_transfer.against(DRS, DRS, "ekld/tail") == (None, None), "a row is not compared with itself"
    short = replace(GIT[0], classes={"ekld/tail": {2: 0.5}})
    assert git_transfer.against([short], DRS, "ekld/tail")[1].count == 1


def test_a_problem_is_named_without_its_order() -> None:
    assert git_transfer._family("mnist-stroke-2") == "mnist-stroke"
    assert git_transfer._family("cifar10-lt") == "cifar10-lt"
