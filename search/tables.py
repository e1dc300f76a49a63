"""The table as flat records, and as CSV: full precision, units in the column names."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import pyarrow
from pyarrow import parquet

from search.account import Cost
from search.row import Averaging, Row
from tracking.record import Status

Record = dict[str, Any]  # column -> number, text or None
_AVERAGING = {
    Averaging.NONE: "test_score", Averaging.OWN: "own_copies_score", Averaging.COMMON: "common_copies_score",
}


def record(row: Row) -> Record:
    """One line of table.csv."""
    return {
        "problem": row.problem, "method": row.method, "way": str(row.way), "control": row.control, "bound": row.bound,
        **_scores(row), **_contrast(row),
        **_cost("training", row.training or Cost(), row), **_cost("tuning", row.tuning, row),
        **_cost("pretraining", row.pretraining, row), **_cost("total", row.total, row),
        "total_without_pretraining_flops": row.total.flops - row.pretraining.flops,
        "plain_training_flops": row.unit_flops,
        **_tune(row), **_spread(row), **_invariance(row),
        **{f"classes {name}": fmean(by_seed.values()) for name, by_seed in row.classes.items() if "/of_" not in name},
        **{f"learned {name}": value for name, value in row.learned.items()},
        "failed_trials": len(row.failures), "reason": row.reason,
    }


def seed_records(rows: Sequence[Row]) -> list[Record]:
    """One line per row and confirm seed."""
    return [
        {
            "problem": row.problem, "method": row.method, "way": str(row.way), "seed": seed,
            **{column: row.scores[averaging].get(seed) for averaging, column in _AVERAGING.items()},
        }
        for row in rows for seed in sorted({seed for scores in row.scores.values() for seed in scores})
    ]


def to_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """RFC 4180 text; a column that a record lacks is left empty, floats keep every digit."""
    columns = list(dict.fromkeys(name for one in records for name in one))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def to_parquet(records: Sequence[Mapping[str, Any]]) -> bytes:
    """Apache Parquet; a column holds numbers or text, and text where it would hold both."""
    columns = dict.fromkeys(name for one in records for name in one)
    arrays = {name: _column([one.get(name) for one in records]) for name in columns}
    target = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.table(arrays), target)
    return bytes(target.getvalue().to_pybytes())


def _column(values: Sequence[Any]) -> pyarrow.Array:
    known = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in known):
        return pyarrow.array(values, pyarrow.bool_() if known else pyarrow.null())
    if all(isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 for value in known):
        return pyarrow.array(values, pyarrow.int64())
    if all(isinstance(value, int | float) for value in known):
        return pyarrow.array([None if value is None else float(value) for value in values], pyarrow.float64())
    return pyarrow.array([None if value is None else str(value) for value in values], pyarrow.string())


def _scores(row: Row) -> Record:
    found: Record = {"seeds": 0 if row.test is None else row.test.count, "planned_seeds": row.planned_seeds}
    for averaging, column in _AVERAGING.items():
        estimate = row.estimates.get(averaging)
        found[f"{column}_mean"] = None if estimate is None else estimate.mean
        found[f"{column}_low95"] = None if estimate is None else estimate.low
        found[f"{column}_high95"] = None if estimate is None else estimate.high
    return found


def _contrast(row: Row) -> Record:
    test = None if row.contrast is None else row.contrast.test
    return {
        "verdict": str(row.verdict),
        "best_control": None if row.contrast is None else row.contrast.reference,
        "pairs": None if test is None else test.difference.count,
        "difference_mean": None if test is None else test.difference.mean,
        "difference_low95": None if test is None else test.difference.low,
        "difference_high95": None if test is None else test.difference.high,
        "difference_sd": None if test is None else test.sd,
        "p": None if test is None else test.p,
        "p_factor": None if row.contrast is None else row.contrast.factor,
        "p_holm": None if row.contrast is None else row.contrast.p_holm,
        "detectable_difference": None if row.contrast is None else row.contrast.detectable,
        "seeds_needed": None if row.contrast is None else row.contrast.needed,
    }


def _cost(part: str, cost: Cost, row: Row) -> Record:
    missing = part == "training" and row.training is None
    found: Record = {f"{part}_{name}": None if missing else value for name, value in cost.items()}
    return {f"{part}_plain_trainings": None if missing else row.multiples(cost.flops), **found}


def _tune(row: Row) -> Record:
    return {
        "tune_trials": row.tune.trials,
        **{f"tune_{status}": row.tune.outcomes.get(status, 0) for status in Status},
        "best_select_score": None if row.tune.best is None else row.tune.best.score,
    }


def _spread(row: Row) -> Record:
    """Variances of the score; known where what was found was trained more than once."""
    found = row.spread
    return {
        "variance_between_searches": None if found is None else found.between,
        "variance_between_trainings": None if found is None else found.within,
    }


def _invariance(row: Row) -> Record:
    found: Record = {}
    for one in row.invariances:
        unit = f"_{one.unit}" if one.unit else ""
        found |= {f"{one.action}_effect": str(one.effect), f"{one.action}_planted{unit}": one.half_width}
        found |= {
            f"{one.action}_{quantity}{'_nats' if quantity == 'kl' else ''}": value
            for quantity, value in one.measured.items()
        }
    return found
