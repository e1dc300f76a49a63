"""One line of a sweep's table, and its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from search.account import Cost, Trial
from search.aggregate import Spread
from search.statistics import Estimate, Paired
from tracking.record import Stage, Status


class Averaging(StrEnum):
    """Over which copies of a test input predictions are averaged; the value is the metric's name."""

    NONE = "test/score"
    OWN = "test/score_own_copies"
    COMMON = "test/score_common_copies"


class Verdict(StrEnum):
    """A row against the best control of its problem."""

    BETTER = "better"
    WORSE = "worse"
    EQUAL = "no difference found"
    CONTROL = "best control"
    UNKNOWN = "too few seeds"
    ALONE = "no control"


class Effect(StrEnum):
    """What invariance to an action does to the task, as planted."""

    HELPS = "helps"
    HARMS = "harms"
    UNKNOWN = "not planted"


@dataclass(frozen=True, slots=True)
class Contrast:
    """A row minus the best control, seed by seed.

    Args:
        reference: label of the control.
        p_holm: adjusted over all rows of the problem; where the row is below, for the choice of the control, too.
        detectable: the difference of the observed direction that would have been found with 80 % power at the strictest
            level of these corrections, from the observed spread; None where there is no spread.
        needed: seeds with which a true difference as large as the observed one would be found with that power, at that
            level and spread; None where there is no difference, or where it takes more than a million.
        factor: by which p was multiplied before Holm's procedure, for the choice of the control.
    """

    reference: str
    test: Paired
    p_holm: float
    detectable: float | None
    needed: int | None = None
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Invariance:
    """Mean measured invariance to one action, beside the planted truth.

    Args:
        half_width: planted range, or the value at which the label changes; None where nothing was planted and
            the transform bank's whole range was probed.
        measured: e.g. "agreement" in [0, 1], "kl" in nats, "relative" at most 1 (classification), "change"
            (regression).
    """

    action: str
    unit: str
    effect: Effect
    half_width: float | None
    measured: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Tune:
    """The tune stage of one study.

    Args:
        outcomes: how many trials ended how.
        multiples: spent, in plain trainings of the problem; None before one was measured.
        best: the chosen trial.
        front: where cost was an objective too, the trials that no other one beats in both; cheapest first.
    """

    trials: int
    outcomes: Mapping[Status, int]
    multiples: float | None
    best: Trial | None
    front: tuple[Trial, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Args:
        bound: it is told what was planted here, which no method can know: no rival of the others.
        way: rerun (search and train again on every seed) or replay (what was found, frozen, from scratch).
        scores: averaging -> seed index -> test score.
        estimates: the same, as mean and interval.
        seed_costs: seed index -> cost of that final training.
        training: their mean; pretraining: of the artefacts that the method uses, each in full;
            total: everything that led to this row, pre-training included.
        unit_flops: one plain training of the problem.
        learned: mean over seeds of what the method says it learned.
        reason: why the study failed, or what failed in it.
        spread: of a replay with several trainings of what each search found, where the noise comes from.
        classes: "MEASURE/of_LABEL", "MEASURE/head" and so on -> seed index -> value; see `trainables.class_measures`.
        class_names: of the problem's classes, by label; none where the journal does not tell.
    """

    problem: str
    method: str
    way: Stage
    control: bool
    planned_seeds: int
    scores: Mapping[Averaging, Mapping[int, float]]
    estimates: Mapping[Averaging, Estimate]
    accuracy: bool
    seed_costs: Mapping[int, Cost]
    training: Cost | None
    tuning: Cost
    pretraining: Cost
    total: Cost
    unit_flops: float | None
    tune: Tune
    invariances: tuple[Invariance, ...]
    learned: Mapping[str, float]
    failures: tuple[Trial, ...]
    reason: str | None = None
    verdict: Verdict = Verdict.UNKNOWN
    contrast: Contrast | None = None
    spread: Spread | None = None
    classes: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    bound: bool = False

    @property
    def label(self) -> str:
        kinds = [*(["bound"] if self.bound else []), *(["replay"] if self.way is Stage.REPLAY else [])]
        return f"{self.method} ({', '.join(kinds)})" if kinds else self.method

    @property
    def test(self) -> Estimate | None:
        """The headline: test score without averaging."""
        return self.estimates.get(Averaging.NONE)

    def multiples(self, flops: float) -> float | None:
        """FLOPs in plain trainings of the problem."""
        return flops / self.unit_flops if self.unit_flops else None
