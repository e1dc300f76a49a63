"""Where a row's cost went: every phase from the first discarded run to the last test, in every unit of the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from search.account import NAMES, Cost, Trial, total
from search.row import Row
from tracking.ledger import ENERGIES, METHOD_PHASES, Phase
from tracking.record import Stage, Status


class Part(StrEnum):
    """Of a row's cost; all but SELECTION and DISCARDED add up to the row's total.

    DISCARDED: trials that failed, which the total holds too, in the stage in which they failed: what development cost,
    as far as a journal knows it. SELECTION: the harness's scoring, which is in no total but for the labels it reads:
    tuning learns from those, so that they are in the total and in the parts of it, too. SEARCH and RETRAINING are the
    two phases of the confirm trainings; where there are both, the reads of scoring are with RETRAINING.
    """

    PRETRAINING = "pre-training"
    PROBE = "probe"
    TUNING = "tuning"
    SEARCH = "search"
    RETRAINING = "retraining"
    SELECTION = "selection"
    DISCARDED = "discarded"


SUMMED = (Part.PRETRAINING, Part.PROBE, Part.TUNING, Part.SEARCH, Part.RETRAINING)
PHASES = {Part.SEARCH: Phase.SEARCH, Part.RETRAINING: Phase.TRAIN}  # of the confirm trainings
UNITS = (
    "flops", "examples", "cpu_seconds", "device_seconds", "wall_seconds", "label_reads", "unlabelled_reads",
    *ENERGIES,
)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The parts of one row.

    Args:
        parts: SELECTION's cost is what the harness counted for itself; None in it is what was not measured.
        discarded_trials: how many failed.
    """

    parts: Mapping[Part, Cost]
    discarded_trials: int


def ledger(row: Row, known: Sequence[Trial]) -> Ledger:
    """The row's cost by part.

    Args:
        known: all trials of the sweep, or of the row's study.
    """
    own = [trial for trial in known if (trial.problem, trial.method) == (row.problem, row.method)]
    ways = (Stage.RERUN,) if row.way is Stage.RERUN else (Stage.RERUN, Stage.REPLAY)
    confirmed = [trial for trial in own if trial.stage in ways]
    counted = [trial for trial in own if trial.stage is not Stage.REPLAY or row.way is Stage.REPLAY]
    failed = [trial for trial in counted if trial.status is Status.FAILED]
    return Ledger({
        Part.PRETRAINING: row.pretraining + _phase(confirmed, Phase.PRETRAIN),
        Part.PROBE: total(trial for trial in own if trial.stage is Stage.PROBE),
        Part.TUNING: row.tuning,
        **{part: _phase(confirmed, phase) for part, phase in PHASES.items()},
        Part.SELECTION: _selection(counted),
        Part.DISCARDED: total(failed),
    }, len(failed))


def records(row: Row, found: Ledger) -> list[dict[str, Any]]:
    """One line per part, in every unit; energy stays empty where no counter was read."""
    return [
        {
            "problem": row.problem, "method": row.method, "way": str(row.way), "part": str(part),
            "in_total": part in SUMMED, "plain_trainings": row.multiples(cost.flops),
            **{unit: getattr(cost, unit) for unit in UNITS}, "peak_host_bytes": cost.peak_host_bytes,
            "peak_device_bytes": cost.peak_device_bytes,
            "discarded_trials": found.discarded_trials if part is Part.DISCARDED else None,
        }
        for part, cost in found.parts.items()
    ]


def _phase(trials: Iterable[Trial], phase: Phase) -> Cost:
    """What the meter counted in one phase; a trial without phases of its own was all training.

    Energy and peaks are known of whole trials only: of a phase where it was the only one.
    """
    found = Cost()
    for trial in trials:
        phases = [one for one in METHOD_PHASES if f"cost/{one}/flops" in trial.metrics] or [Phase.TRAIN]
        if phases == [phase]:
            found += trial.cost
            continue
        if phase in phases:
            found += _named(trial.metrics, f"cost/{phase}/")
        if phase is Phase.TRAIN and len(phases) > 1:
            found += Cost(label_reads=trial.metrics.get("evaluation/label_reads", 0))
    return found


def _selection(trials: Iterable[Trial]) -> Cost:
    return sum((_named(trial.metrics, "evaluation/") for trial in trials), Cost())


def _named(metrics: Mapping[str, float], prefix: str) -> Cost:
    values: dict[str, Any] = {name: metrics.get(f"{prefix}{name}") for name in NAMES}
    return Cost(**{**values, "flops": metrics.get(f"{prefix}flops", 0), "evaluation_flops": 0})
