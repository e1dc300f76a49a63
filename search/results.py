"""What came out of each study, under the names by which MLflow's views compare it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from search.row import Averaging, Row
from tracking.record import Stage


def results(rows: Sequence[Row]) -> Iterator[Mapping[str, Any]]:
    """One for every study with a test score: problem, method, metrics, and the configuration that was chosen."""
    for row in rows:
        if row.way is Stage.RERUN and row.test is not None:
            chosen = dict(row.tune.best.config) if row.tune.best is not None else None
            yield {"problem": row.problem, "method": row.method, "metrics": dict(_metrics(row)), "chosen": chosen}


def _metrics(row: Row) -> Iterator[tuple[str, float]]:
    """Known numbers only: what is absent says unknown."""
    test, total = row.test, row.total
    assert test is not None
    found: dict[str, float | None] = {
        "test_score": test.mean, "test_score_low95": test.low, "test_score_high95": test.high, "seeds": test.count,
        **{name: one.mean if (one := row.estimates.get(kind)) else None for name, kind in (
            ("test_score_own_copies", Averaging.OWN), ("test_score_common_copies", Averaging.COMMON)
        )},
        "total_flops": total.flops, "total_plain_trainings": row.multiples(total.flops),
        "total_cpu_seconds": total.cpu_seconds, "total_wall_seconds": total.wall_seconds,
        "total_device_seconds": total.device_seconds,
        "one_training_plain_trainings": row.multiples(row.training.flops) if row.training else None,
        "tuning_plain_trainings": row.tune.multiples, "tuning_trials": row.tune.trials,
        "pretraining_plain_trainings": row.multiples(row.pretraining.flops),
        "best_select_score": None if row.tune.best is None else row.tune.best.score,
        "over_best_control": None if row.contrast is None else row.contrast.test.difference.mean,
        "p_holm": None if row.contrast is None else row.contrast.p_holm,
    }
    for measured in row.invariances:
        found |= {f"invariance/{measured.action}/{name}": value for name, value in measured.measured.items()}
    found |= {f"classes/{name}": fmean(by_seed.values()) for name, by_seed in row.classes.items() if "/of_" not in name}
    for name, value in found.items():
        if value is not None:
            yield name, value
