"""From a sweep's events to the rows of its table: accuracy, cost and invariance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from search.account import Cost, Trial, total, trials
from search.aggregate import Spread, spread
from search.confirm import search_of
from search.front import pareto
from search.lines import furthest
from search.made import pretraining
from search.plan import Plan, given_up, plan
from search.row import Averaging, Effect, Invariance, Row, Tune
from search.settings import SamplerName
from search.statistics import estimate
from search.verdicts import judged
from search.wanted import Study
from tracking.journal import Event
from tracking.record import Stage, Status

CLASSES = "classes/"
MARKS = ("generator/collapsed",)  # whether to believe the rest, which the report's warnings say: nothing was learned
WAYS = (Stage.RERUN, Stage.REPLAY)


def rows(events: Sequence[Event]) -> tuple[Row, ...]:
    """One row per (problem, method, way) in the comparison's order; what is not there yet is left empty."""
    planned = plan(events)
    known = list(trials(events).values())
    gone, before = given_up(events), pretraining(events)
    found: list[Row] = []
    for problem in planned.problems:
        here = [trial for trial in known if trial.problem == problem]
        made = [
            _row(planned, (problem, method), way, here, gone.get((problem, method)), before.get((problem, method)))
            for method in planned.methods for way in WAYS
            if way is Stage.RERUN or any(t.method == method and t.stage is way for t in here)
        ]
        found += judged(made)
    return tuple(found)


def decision_table(events: Sequence[Event]) -> list[dict[str, Any]]:
    """What two equal runs share exactly: scores, FLOPs, examples, label reads, decisions. No seconds."""
    known = trials(events)
    return [_decisions(row, known.values()) for row in rows(events)]


def _row(
    planned: Plan, study: Study, way: Stage, here: Sequence[Trial], reason: str | None, before: Cost | None
) -> Row:
    problem, method = study
    own = [trial for trial in here if trial.method == method]
    stages = {stage: [trial for trial in own if trial.stage is stage] for stage in Stage}
    unit = [t for t in here if t.stage is Stage.UNIT and t.status is Status.COMPLETE]
    unit_flops = float(unit[0].flops) if unit else None
    done = sorted((t for t in stages[way] if t.status is Status.COMPLETE), key=lambda t: t.index)
    seeds = planned.seeds or max((trial.index for trial in done), default=1)
    scores = {averaging: _by_search(done, averaging, seeds) for averaging in Averaging}
    found = {averaging: estimate(list(values.values())) for averaging, values in scores.items()}
    tuning, confirmed = total(stages[Stage.TUNE]), total(stages[Stage.RERUN])
    if way is Stage.REPLAY:
        confirmed += total(stages[Stage.REPLAY])
    failures = tuple(t for t in own if t.status is Status.FAILED)
    return Row(
        problem=problem, method=method, way=way, control=method in planned.controls,
        planned_seeds=planned.seeds, scores=scores,
        estimates={averaging: e for averaging, e in found.items() if e is not None},
        accuracy=problem in planned.accuracies,
        seed_costs=_costs_by_search(done, seeds),
        training=total(done).per(len(done)) if done else None,
        tuning=tuning, pretraining=before or Cost(),
        total=(before or Cost()) + total(stages[Stage.PROBE]) + tuning + confirmed,
        unit_flops=unit_flops, tune=_tune(stages[Stage.TUNE], tuning, unit_flops, planned),
        invariances=_invariances(planned, problem, done), learned=_learned(done),
        failures=failures, reason=reason, classes=_by_class(done, seeds),
        class_names=tuple(planned.classes.get(problem, ())), spread=_spread(done, seeds),
        bound=planned.bound(problem, method),
    )


def _tune(tuned: Sequence[Trial], spent: Cost, unit_flops: float | None, planned: Plan) -> Tune:
    outcomes = {status: sum(t.status is status for t in tuned) for status in Status}
    whole = [t for t in tuned if t.status is Status.COMPLETE and t.score is not None]
    multiples = spent.flops / unit_flops if unit_flops else None
    if any(t.generation is not None for t in tuned):
        whole = [t for t in furthest(tuned) if t in whole]
    elif SamplerName(planned.comparison.get("sampler", SamplerName.TPE)).two_objectives:
        front = tuple(pareto((t.score or 0.0, t.flops, t) for t in whole))
        return Tune(len(tuned), outcomes, multiples, front[-1] if front else None, front)
    best = max(whole, key=lambda t: (t.score, -t.index), default=None)
    return Tune(len(tuned), outcomes, multiples, best)


def _invariances(planned: Plan, problem: str, done: Sequence[Trial]) -> tuple[Invariance, ...]:
    """Measured actions and planted ones; what was planted comes first."""
    truth = planned.truths.get(problem) or {}
    measured: dict[str, dict[str, float]] = {}
    for name, value in _means(done, "invariance/").items():
        action, _, quantity = name.rpartition("/")
        measured.setdefault(action, {})[quantity] = value
    planted = {Effect.HELPS: truth.get("invariant", {}), Effect.HARMS: truth.get("harmful", {})}
    names = dict.fromkeys([*(name for ranges in planted.values() for name in ranges), *measured])
    found = []
    for name in names:
        effect = next((effect for effect, ranges in planted.items() if name in ranges), Effect.UNKNOWN)
        half_width = planted[effect][name] if effect in planted else None
        unit, numbers = planned.units.get(name, ""), measured.get(name, {})
        found.append(Invariance(name, unit, effect, half_width, numbers))
    return tuple(found)


def _by_search(done: Sequence[Trial], name: str, seeds: int) -> dict[int, float]:
    """A metric by seed; several trainings of what one search found count as their mean."""
    found: dict[int, list[float]] = {}
    for trial in done:
        if name in trial.metrics:
            found.setdefault(search_of(trial.index, seeds), []).append(trial.metrics[name])
    return {index: fmean(values) for index, values in found.items()}


def _spread(done: Sequence[Trial], seeds: int) -> Spread | None:
    """Of test scores, over the searches that have all their trainings; None for fewer than two of each."""
    found: dict[int, list[float]] = {}
    for trial in done:
        if Averaging.NONE in trial.metrics:
            found.setdefault(search_of(trial.index, seeds), []).append(trial.metrics[Averaging.NONE])
    trainings = max((len(values) for values in found.values()), default=0)
    whole = [values for values in found.values() if len(values) == trainings]
    return spread(np.asarray(whole)) if trainings > 1 and len(whole) > 1 else None


def _by_class(done: Sequence[Trial], seeds: int) -> dict[str, dict[int, float]]:
    """Each number under `classes/`, without that prefix, by seed."""
    names = dict.fromkeys(name for trial in done for name in trial.metrics if name.startswith(CLASSES))
    return {name.removeprefix(CLASSES): _by_search(done, name, seeds) for name in names}


def _costs_by_search(done: Sequence[Trial], seeds: int) -> dict[int, Cost]:
    """Of one training; the mean where what a search found was trained several times."""
    found: dict[int, list[Trial]] = {}
    for trial in done:
        found.setdefault(search_of(trial.index, seeds), []).append(trial)
    return {index: own[0].cost if len(own) == 1 else total(own).per(len(own)) for index, own in found.items()}


def _means(done: Sequence[Trial], prefix: str) -> dict[str, float]:
    """Mean over trials of each metric below a prefix, named without it."""
    names = dict.fromkeys(name for t in done for name in t.metrics if name.startswith(prefix))
    return {
        name.removeprefix(prefix): fmean(t.metrics[name] for t in done if name in t.metrics) for name in names
    }


def _learned(done: Sequence[Trial]) -> dict[str, float]:
    return {name: value for name, value in _means(done, "learned/").items() if name not in MARKS}


def _decisions(row: Row, known: Iterable[Trial]) -> dict[str, Any]:
    tuned = [t for t in known if (t.problem, t.method, t.stage) == (row.problem, row.method, Stage.TUNE)]
    exact = ("flops", "examples", "label_reads", "unlabelled_reads", "evaluation_flops")
    costs = {"training": row.training, "tuning": row.tuning, "pretraining": row.pretraining, "total": row.total}
    return {
        "problem": row.problem, "method": row.method, "way": str(row.way), "verdict": str(row.verdict),
        "p_holm": None if row.contrast is None else row.contrast.p_holm,
        "scores": {str(averaging): dict(values) for averaging, values in row.scores.items()},
        "invariance": {i.action: dict(i.measured) for i in row.invariances},
        "learned": dict(row.learned),
        "unit_flops": row.unit_flops,
        **{
            part: None if cost is None else {name: getattr(cost, name) for name in exact}
            for part, cost in costs.items()
        },
        "chosen": None if row.tune.best is None else dict(row.tune.best.config),
        "tune": [(t.uid, str(t.status), t.score, t.flops, dict(t.config)) for t in tuned],
        "failed": [(t.uid, t.why) for t in row.failures],
    }
