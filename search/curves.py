"""How good a study was by each point of its cost: while it was tuned, and within its confirm trainings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median_high
from typing import Any

from search.anytime import Curve, TimeTo, anytime_area, mean_curve, time_to
from search.incumbents import incumbents
from search.row import Row
from tracking.journal import Event
from tracking.record import Stage, Status

Study = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Curves:
    """Of one study, costs in FLOPs of the method, scores on the select split.

    Args:
        tuning: (cost of all trials so far, score of the best whole one), a point for each new best; where trials are
            bred, of the last whole generation, whose score may be lower.
        tuned: what the tuning has cost in all.
        trainings: seed -> (cost, best score so far) within that confirm training.
        ends: seed -> what it has cost in all.
        failed: seed -> what a confirm training that failed had cost.
    """

    tuning: Curve
    tuned: float
    trainings: Mapping[int, Curve]
    ends: Mapping[int, float]
    failed: Mapping[int, float] = field(default_factory=dict)


def curves(events: Sequence[Event]) -> dict[Study, Curves]:
    """Of every study, from one pass through the journal."""
    tunes: dict[Study, list[Event]] = defaultdict(list)
    reruns: dict[Study, _Reruns] = defaultdict(_Reruns)
    of: dict[str, Study] = {}
    seeds: dict[str, int] = {}
    for event in events:
        uid = event.get("uid", "")
        if event["kind"] == "asked" and event["stage"] in (Stage.TUNE, Stage.RERUN):
            of[uid] = event["problem"], event["method"]
            if event["stage"] == Stage.RERUN:
                seeds[uid] = event["index"]
        if uid not in of or event["kind"] not in ("asked", "result", "ended"):
            continue
        if uid in seeds:
            reruns[of[uid]].take(seeds[uid], event)
        else:
            tunes[of[uid]].append(event)
    return {study: _curves(study, tunes[study], reruns[study]) for study in dict.fromkeys(of.values())}


@dataclass
class _Reruns:
    """Confirm trainings of one study, as their reports come in."""

    curves: dict[int, list[tuple[float, float]]] = field(default_factory=dict)
    ends: dict[int, float] = field(default_factory=dict)
    whole: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)

    def take(self, seed: int, event: Event) -> None:
        if event["kind"] == "ended" and event["status"] in (Status.COMPLETE, Status.FAILED):
            (self.whole if event["status"] == Status.COMPLETE else self.failed).add(seed)
        if event["kind"] != "result":
            return
        self.ends[seed] = max(self.ends.get(seed, 0), event["flops"])  # a failed report may not know its cost
        if event["status"] == Status.FAILED:
            return
        line = self.curves.setdefault(seed, [])
        # A score of a search in progress is no score of its result.
        if event.get("ready") and event["score"] is not None and (not line or event["score"] > line[-1][1]):
            line.append((event["flops"], event["score"]))


def _curves(study: Study, tunes: Sequence[Event], reruns: _Reruns) -> Curves:
    spent: dict[str, int] = {}
    for event in tunes:
        if event["kind"] == "result":
            spent[event["uid"]] = max(spent.get(event["uid"], 0), event["flops"])
    line = [(float(one.spent), one.score) for one in incumbents(tunes, *study)]
    return Curves(
        line, float(sum(spent.values())), {seed: reruns.curves.get(seed, []) for seed in sorted(reruns.whole)},
        {seed: reruns.ends[seed] for seed in sorted(reruns.whole)},
        {seed: reruns.ends.get(seed, 0) for seed in sorted(reruns.failed)},
    )


@dataclass(frozen=True, slots=True)
class Anytime:
    """One study's tuning, beside the others of its problem.

    Args:
        area: mean of the best select score so far over log cost, from one plain training to the budget; what counts
            before a study has found anything, `_before` says. None where the budget is no more than one plain training,
            or where nothing was found and scores are negative, so that no score is sure to be low enough.
        to_target: the cost within a confirm training at which its select score reached that of the best control, the
            mean of the best of each of its trainings; over seeds, those whose training failed included: these never
            reached it.
    """

    area: float | None
    to_target: TimeTo | None


def anytime(
    rows: Sequence[Row], found: Mapping[Study, Curves], budget: float, target: float | None
) -> dict[str, Anytime]:
    """method -> its figures, of the rows of one problem.

    Args:
        budget: of every study, in plain trainings.
    """
    here = [(row, found[row.problem, row.method]) for row in rows if (row.problem, row.method) in found]
    firsts = [line.tuning[0][1] for _, line in here if line.tuning]
    return {row.method: _anytime(row, line, budget, target, _before(line, firsts)) for row, line in here}


def _before(found: Curves, firsts: Sequence[float]) -> float | None:
    """What counts as the score of a study while it has not found anything: 0, or less where scores are negative.

    Then it is the middle one of the first finds of all, of two middle ones the higher: one study that diverged at first
    would put the others out of proportion. And it is no better than the study's own first find, or a late find would be
    worth more than an early one. None where that tells nothing: negative scores, and nothing found at all.
    """
    if not found.tuning:
        return 0.0 if min(firsts, default=0.0) >= 0 else None
    return min(0.0, median_high(firsts), found.tuning[0][1])


def _anytime(row: Row, found: Curves, budget: float, target: float | None, before: float | None) -> Anytime:
    unit, lines = row.unit_flops, [*found.trainings.values(), *([] for _ in found.failed)]
    ends = [*found.ends.values(), *found.failed.values()]
    area = None
    if unit and budget > 1 and before is not None:
        area = anytime_area(found.tuning, unit, budget * unit, before)
    return Anytime(area, time_to(lines, ends, target) if target is not None and lines else None)


def reached(found: Curves) -> float | None:
    """The mean best select score of the confirm trainings; None without any."""
    best = [line[-1][1] for line in found.trainings.values() if line]
    return sum(best) / len(best) if best else None


def records(rows: Sequence[Row], found: Mapping[Study, Curves]) -> list[dict[str, Any]]:
    """Every point of every curve of one problem's rows: what the figure draws."""
    lines: list[dict[str, Any]] = []
    for row in rows:
        one = found.get((row.problem, row.method))
        if one is None or row.way is not Stage.RERUN:
            continue
        named = {"problem": row.problem, "method": row.method}
        drawn = [("tuning", None, one.tuning), *(("training", seed, line) for seed, line in one.trainings.items())]
        drawn.append(("training, mean", None, mean_curve(list(one.trainings.values()))))
        lines += [
            {**named, "curve": curve, "seed": seed, "flops": cost, "plain_trainings": row.multiples(cost),
             "select_score": score}
            for curve, seed, line in drawn for cost, score in line
        ]
    return lines
