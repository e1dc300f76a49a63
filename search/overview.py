"""All problems of a sweep together: interquartile mean, mean rank, and how often a method led or fell behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search.aggregate import interquartile_mean, mean_ranks
from search.row import Averaging, Row, Verdict
from search.statistics import Estimate
from search.words import listed
from tracking.record import Stage

SEED = 0  # of the bootstrap: the same journal gives the same report


@dataclass(frozen=True, slots=True)
class Overall:
    """One method over the problems.

    Args:
        bound: it is told what was planted in one of the problems at least, and has no rank.
        problems: on which it has a score.
        middle: interquartile mean of its test scores with the interval of a stratified bootstrap; None unless it has
            scores on all problems and these are accuracies: a mean over units, or over easier problems, says nothing.
        rank: mean over the `ranked` problems, on which all methods have scores, 1 the best; None without such problems.
        better, worse: on how many problems, than the best control.
        cost: mean of everything that it has cost, in plain trainings, on the problems on which it has a score; where
            it has none, on those on which it spent something. None where no plain training was measured.
    """

    method: str
    control: bool
    bound: bool
    problems: int
    middle: Estimate | None
    rank: float | None
    ranked: int
    better: int
    worse: int
    cost: float | None

    @property
    def label(self) -> str:
        return f"{self.method} (bound)" if self.bound else self.method


def overall(rows: Sequence[Row]) -> list[Overall]:
    """One line per method, by mean rank; none where there is a single problem."""
    reruns = [row for row in rows if row.way is Stage.RERUN]
    problems = list(dict.fromkeys(row.problem for row in reruns))
    methods = list(dict.fromkeys(row.method for row in reruns))
    if len(problems) < 2:
        return []
    table = {(row.method, row.problem): row for row in reruns}
    bounds = {row.method for row in reruns if row.bound}
    ranks, shared = _ranks(table, [method for method in methods if method not in bounds], problems)
    alike = all(row.accuracy for row in reruns)
    found = [
        _overall(
            method, [table[method, p] for p in problems if (method, p) in table], ranks.get(method), shared,
            len(problems) if alike else None,
        )
        for method in methods
    ]
    return sorted(found, key=lambda one: (one.rank is None, one.rank or 0.0))


def sentences(found: Sequence[Overall]) -> list[str]:
    """Who stands best over all problems, and who beat the best control how often."""
    said = _best_rank(found)
    winning = [f"{one.method} on {one.better} of {one.problems}" for one in found if one.better and not one.bound]
    if winning:
        said.append(f"Better than the best control: {listed(winning)} problems.")
    losing = [
        f"{one.method} on {one.worse} of {one.problems}" for one in found
        if one.worse and not one.control and not one.bound
    ]
    if losing:
        said.append(f"Searches worse than the best control: {listed(losing)} problems.")
    return [*said, *_bounds(found)]


def _best_rank(found: Sequence[Overall]) -> list[str]:
    ranked = [one for one in found if one.rank is not None]
    if not ranked:
        return []
    first, problems = [one.method for one in ranked if one.rank == ranked[0].rank], ranked[0].ranked
    without = [one.method for one in found if not one.problems and not one.bound]
    aside = f", but for {listed(without)}, which {'has' if len(without) == 1 else 'have'} none" if without else ""
    return [
        f"Over the {problems} problem{'' if problems == 1 else 's'} on which all methods have scores{aside}, "
        f"{listed(first)} {'has' if len(first) == 1 else 'share'} the best mean rank ({ranked[0].rank:.3g} of "
        f"{len(ranked)}; ranks of means, without a test)."
    ]


def _bounds(found: Sequence[Overall]) -> list[str]:
    told = [
        f"{one.method} (better than the best control on {one.better} of {one.problems} problems, worse on {one.worse})"
        for one in found if one.bound and one.problems
    ]
    what = "a bound" if len(told) == 1 else "bounds"
    return [f"Told what to vary, and so {what} without a rank: {listed(told)}."] if told else []


def records(found: Sequence[Overall]) -> list[dict[str, Any]]:
    """One line per method."""
    return [
        {
            "method": one.method, "control": one.control, "bound": one.bound, "problems": one.problems,
            "interquartile_mean": one.middle.mean if one.middle else None,
            "interquartile_mean_low95": one.middle.low if one.middle else None,
            "interquartile_mean_high95": one.middle.high if one.middle else None,
            "mean_rank": one.rank, "better_than_best_control": one.better, "worse_than_best_control": one.worse,
            "mean_total_plain_trainings": one.cost,
        }
        for one in found
    ]


def _overall(
    method: str, own: Sequence[Row], rank: float | None, ranked: int, comparable: int | None
) -> Overall:
    """`comparable`: how many problems there are, where their scores can be averaged."""
    scored = [row for row in own if row.test is not None]
    runs = [list(row.scores[Averaging.NONE].values()) for row in scored]
    spent = scored or [row for row in own if row.total.flops]
    costs = [cost for row in spent if (cost := row.multiples(row.total.flops)) is not None]
    return Overall(
        method, any(row.control for row in own), any(row.bound for row in own), len(scored),
        interquartile_mean(runs, np.random.default_rng(SEED)) if runs and len(runs) == comparable else None,
        rank, ranked, sum(row.verdict is Verdict.BETTER for row in scored),
        sum(row.verdict is Verdict.WORSE for row in scored), sum(costs) / len(costs) if costs else None,
    )


def _ranks(
    table: dict[tuple[str, str], Row], methods: Sequence[str], problems: Sequence[str]
) -> tuple[dict[str, float], int]:
    """Over methods that have a score somewhere, on the problems on which all of these have one; how many these are.

    None for one method alone: nobody is ranked by being the only one.
    """
    def mean(method: str, problem: str) -> float | None:
        row = table.get((method, problem))
        return None if row is None or row.test is None else row.test.mean

    able = [m for m in methods if any(mean(m, p) is not None for p in problems)]
    shared = [p for p in problems if all(mean(m, p) is not None for m in able)]
    if len(able) < 2 or not shared:
        return {}, 0
    scores = np.array([[mean(m, p) for p in shared] for m in able], dtype=np.float64)
    return dict(zip(able, map(float, mean_ranks(scores)), strict=True)), len(shared)
