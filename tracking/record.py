"""Reserved metric names, and the rows a trial reports."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum

RESERVED = ("cost/", "waste/", "val/", "test/", "invariance/", "evaluation/", "artefact/", "classes/")


class Stage(StrEnum):
    """What a trial is for."""

    ARTEFACT = "artefact"  # the making of something that trials need
    UNIT = "unit"        # one plain training: the budget unit of a problem
    PROBE = "probe"      # a short run that tells the cost of a full horizon
    TUNE = "tune"
    RERUN = "rerun"      # confirm: search and train again on a fresh seed
    REPLAY = "replay"    # confirm: what was found, frozen, trained from scratch


class Status(StrEnum):
    """How a trial stands."""

    RUNNING = "running"
    COMPLETE = "complete"  # reached its horizon
    PRUNED = "pruned"      # stopped by ASHA
    BUDGET = "budget"      # cut because the study's budget was spent
    FAILED = "failed"


class Cause(StrEnum):
    """Why a trial failed; the names are those of `search.settings.Retries`."""

    RAISED = "raised"          # the method raised
    NOT_FINITE = "not_finite"  # a score, an output or a metric was NaN or infinite
    HUNG = "hung"              # no report came for too long
    DIED = "died"              # its process or its node went
    MEMORY = "memory"          # killed for the memory it took


class NotFiniteError(ValueError):
    """An output, a score or a metric is NaN or infinite: the trial has failed, whatever else it shows."""


class ReservedMetricError(ValueError):
    """A method reported a name that only the harness may write."""


def check_metrics(metrics: Mapping[str, float]) -> None:
    """Refuse reserved names and numbers that are not finite.

    Raises:
        ReservedMetricError: a reserved prefix.
        NotFiniteError: a value that is not a finite number.
    """
    for name, value in metrics.items():
        if name.startswith(RESERVED):
            raise ReservedMetricError(f"metrics may not start with {', '.join(RESERVED)}, but got `{name}`")
        if not math.isfinite(value):
            raise NotFiniteError(f"metrics must be finite, but got {name} = {value}")
