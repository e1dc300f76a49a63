"""One real ASHA per study, on cost; it decides, we only hand it what it asks for."""

from __future__ import annotations

from types import SimpleNamespace

from search.settings import Asha

TIME, SCORE = "cost/flops", "val/score"


class Halving:
    """`ray.tune.schedulers.ASHAScheduler` on logical cost for the trials of one study.

    A trial never ends for having reached the maximum: configurations differ in cost per update, and a dear one
    has the same right to its horizon (`stop_last_trials=False`).

    Args:
        asha: grace and reduction factor.
        full_cost: FLOPs of the method's own full horizon, from the probe.
    """

    def __init__(self, asha: Asha, full_cost: int) -> None:
        from ray.tune.schedulers import ASHAScheduler, TrialScheduler  # 180 MiB that a report does not need

        self._stop = TrialScheduler.STOP
        self._scheduler = ASHAScheduler(
            time_attr=TIME, metric=SCORE, mode="max", max_t=full_cost,
            grace_period=max(1, int(asha.grace * full_cost)), reduction_factor=asha.reduction_factor,
            stop_last_trials=False,
        )

    def add(self, uid: str) -> None:
        self._scheduler.on_trial_add(None, SimpleNamespace(trial_id=uid))

    def stops(self, uid: str, flops: int, score: float) -> bool:
        """Whether the trial is to stop at this report."""
        decision = self._scheduler.on_trial_result(None, SimpleNamespace(trial_id=uid), {TIME: flops, SCORE: score})
        return bool(decision == self._stop)

    def complete(self, uid: str, flops: int, score: float) -> None:
        """The last report of a trial that reached its horizon: it enters the rungs and is not judged."""
        self._scheduler.on_trial_complete(None, SimpleNamespace(trial_id=uid), {TIME: flops, SCORE: score})

    def remove(self, uid: str) -> None:
        """The trial is gone without a last report."""
        self._scheduler.on_trial_remove(None, SimpleNamespace(trial_id=uid))

    def rungs(self) -> list[tuple[float, int, float | None]]:
        """(milestone in FLOPs, trials recorded, score needed to pass), lowest first."""
        bracket = self._scheduler._brackets[0]
        return [(float(at), len(seen), bracket.cutoff(seen)) for at, seen in reversed(bracket._rungs)]
