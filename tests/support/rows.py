"""Rows of a table with chosen scores, without a sweep behind them."""

from __future__ import annotations

from collections.abc import Mapping

from search.account import Cost
from search.row import Averaging, Row, Tune
from search.statistics import estimate
from tracking.record import Stage


def row(
    method: str, scores: Mapping[int, float], control: bool = False, *, problem: str = "one",
    flops: float | None = None, tuning: float = 0.0,
) -> Row:
    """An accuracy in [0, 1] for each seed.

    Args:
        flops: of every confirm training; None where none is known.
        tuning: FLOPs.
    """
    found = estimate(list(scores.values()))
    costs = {} if flops is None else {seed: Cost(flops) for seed in scores}
    return Row(
        problem=problem, method=method, way=Stage.RERUN, control=control, planned_seeds=len(scores),
        scores={Averaging.NONE: scores}, estimates={} if found is None else {Averaging.NONE: found},
        accuracy=True, seed_costs=costs, training=None if flops is None else Cost(flops), tuning=Cost(tuning),
        pretraining=Cost(), total=Cost(), unit_flops=1.0, tune=Tune(0, {}, None, None), invariances=(), learned={},
        failures=(),
    )


def seeds(*values: float) -> dict[int, float]:
    """Seed index from 1 -> score."""
    return dict(enumerate(values, start=1))
