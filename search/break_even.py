"""After how many tasks a method that was pre-trained once is the cheaper one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from search.row import Row
from search.statistics import estimate
from tracking.record import Stage


@dataclass(frozen=True, slots=True)
class BreakEven:
    """A method with pre-training against a rival on one problem, in FLOPs.

    A task costs its whole tuning and one confirm training. After n tasks the method has cost P + n c, the rival
    P' + n c': the method is no dearer from n* = ceil((P - P') / (c' - c)) on, where c < c', else never.

    Args:
        pretraining_flops: P - P', above 0: what both have in common cancels.
        task_flops: c; `rival_task_flops`: c'. The training is the mean over the confirm seeds that both have: a seed
            that failed for one of them would move the number of tasks out of its own interval. Where they have none in
            common, each row's own mean.
        tasks: n*; None means never.
        fewest, most: n* at the ends of the 95 % t-interval of c' - c over the seeds of the confirm trainings, the
            tuning being what it was; both None with one seed, `most` alone where the interval holds c' <= c: never.
    """

    problem: str
    method: str
    rival: str
    pretraining_flops: float
    task_flops: float
    rival_task_flops: float
    tasks: int | None
    fewest: int | None = None
    most: int | None = None

    def to_json(self) -> dict[str, Any]:
        """With `tasks` null and `never` true where there is no such number."""
        return {**asdict(self), "never": self.tasks is None}


def break_even(rows: Sequence[Row]) -> list[BreakEven]:
    """Every method with pre-training against every other method of its problem that has less of it."""
    reruns = [row for row in rows if row.way is Stage.RERUN and row.training is not None]
    return [
        _against(own, rival) for own in reruns for rival in reruns
        if own.problem == rival.problem and own.pretraining.flops > rival.pretraining.flops
    ]


def task_flops(row: Row) -> float:
    """One task: the whole tuning, and one training of what was chosen."""
    assert row.training is not None
    return row.tuning.flops + row.training.flops


def _against(own: Row, rival: Row) -> BreakEven:
    more = own.pretraining.flops - rival.pretraining.flops
    common = sorted(own.seed_costs.keys() & rival.seed_costs.keys())
    cost, rivals = _task_flops(own, common), _task_flops(rival, common)
    tuned = rival.tuning.flops - own.tuning.flops
    saved = estimate([tuned + rival.seed_costs[seed].flops - own.seed_costs[seed].flops for seed in common])
    low, high = (None, None) if saved is None else (saved.low, saved.high)
    return BreakEven(
        own.problem, own.method, rival.method, more, cost, rivals, _tasks(more, rivals - cost),
        None if high is None else _tasks(more, high), None if low is None else _tasks(more, low),
    )


def _task_flops(row: Row, seeds: Sequence[int]) -> float:
    return row.tuning.flops + fmean(row.seed_costs[seed].flops for seed in seeds) if seeds else task_flops(row)


def _tasks(more: float, saved: float) -> int | None:
    """How many savings make up for a cost; None where nothing is saved."""
    return math.ceil(more / saved) if saved > 0 else None
