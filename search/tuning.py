"""The tune stage of one study: Optuna proposes, ASHA stops, the budget ends it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from search.samplers import Proposer, make_sampler
from search.schedulers import Halving
from search.study import Comparison, MethodSpec
from spaces.domain import Point, Space
from tracking.record import Status
from trainables.method import stable_seed


class Verdict(StrEnum):
    """What a report leads to."""

    CONTINUE = "continue"
    STOP = "stop"


@dataclass
class Tuned:
    """A trial of the tune stage, as far as it is known."""

    uid: str
    index: int
    point: Point
    settings: dict[str, Any]
    status: Status = Status.RUNNING
    score: float | None = None
    flops: int = 0
    curve: list[tuple[int, float]] = field(default_factory=list)  # (flops, score) of ready reports


class Tuning:
    """A deterministic state machine: the same asks, reports and ends in the same order, the same decisions.

    Args:
        problem: label of the problem.
        unit_flops: one plain training of the problem.
        full_flops: the method's own full horizon, from its probe.
    """

    def __init__(
        self, comparison: Comparison, problem: str, method: MethodSpec, unit_flops: int, full_flops: int
    ) -> None:
        self.trials: dict[str, Tuned] = {}
        self.budget_flops = int(comparison.budget * unit_flops)
        self.full_flops = full_flops
        self._comparison, self._problem, self._method = comparison, problem, method
        space, first = _free_space(method)
        seed = stable_seed(comparison.seed, problem, method.key, "sampler") % 2**32  # NumPy's range
        self._proposer = Proposer(space, make_sampler(comparison.sampler, seed, comparison.startup_trials), first)
        self._halving = None if comparison.asha is None else Halving(comparison.asha, full_flops)

    @property
    def spent_flops(self) -> int:
        """Everything counts: stopped and failed trials too."""
        return sum(trial.flops for trial in self.trials.values())

    @property
    def running(self) -> int:
        return sum(trial.status is Status.RUNNING for trial in self.trials.values())

    @property
    def failures(self) -> int:
        return sum(trial.status is Status.FAILED for trial in self.trials.values())

    @property
    def exhausted(self) -> bool:
        """Nothing more will be asked: budget spent, trials used up, or too many of them failed."""
        return (
            self.spent_flops >= self.budget_flops
            or len(self.trials) >= self._comparison.max_trials
            or self.failures >= self._comparison.max_failures
        )

    @property
    def done(self) -> bool:
        return self.exhausted and self.running == 0

    @property
    def may_ask(self) -> bool:
        return not self.exhausted and self.running < (self._comparison.parallel_trials or 1)

    @property
    def best(self) -> Tuned | None:
        """The highest select score among trials that reached their horizon; the earlier one of equals."""
        whole = [t for t in self.trials.values() if t.status is Status.COMPLETE and t.score is not None]
        return max(whole, key=lambda t: (t.score, -t.index), default=None)

    def ask(self) -> Tuned:
        index = len(self.trials)
        uid = f"{self._problem}/{self._method.key}/tune-{index:03d}"
        point = self._proposer.ask(uid)
        settings = self._method.config_class().model_validate({**self._method.settings, **point})
        trial = Tuned(uid, index, point, settings.model_dump(mode="json"))
        self.trials[uid] = trial
        if self._halving is not None:
            self._halving.add(uid)
        return trial

    def report(self, uid: str, index: int, flops: int, score: float, ready: bool, done: bool) -> Verdict:
        """Take in one report; ends the trial where it is done, pruned or out of budget."""
        trial = self.trials[uid]
        trial.flops, trial.score = flops, score
        if ready:
            trial.curve.append((flops, score))
            self._proposer.report(uid, index, score)
        if done:
            if self._halving is not None:
                self._halving.complete(uid, flops, score)
            return self._end(trial, Status.COMPLETE)
        # ASHA judges only what could show something; the cost counts all the same.
        if ready and self._halving is not None and self._halving.stops(uid, flops, score):
            return self._end(trial, Status.PRUNED)
        if self.spent_flops >= self.budget_flops:
            return self._end(trial, Status.BUDGET)
        return Verdict.CONTINUE

    def fail(self, uid: str, flops: int) -> None:
        trial = self.trials[uid]
        trial.flops = max(trial.flops, flops)
        if self._halving is not None:
            self._halving.remove(uid)
        trial.score = None
        self._end(trial, Status.FAILED)

    def observed(self) -> dict[int, tuple[str, float | None]]:
        """What Optuna holds."""
        return dict(self._proposer.observed())

    def rungs(self) -> list[tuple[float, int, float | None]]:
        return [] if self._halving is None else self._halving.rungs()

    def _end(self, trial: Tuned, status: Status) -> Verdict:
        trial.status = status
        self._proposer.end(trial.uid, status, trial.score)
        return Verdict.STOP


def _free_space(method: MethodSpec) -> tuple[Space, Point]:
    """The tunable fields that the comparison leaves free, and the method's defaults for them."""
    config = method.config_class()
    free = {name: domain for name, domain in config.space.root.items() if name not in method.settings}
    defaults = config.model_validate(method.settings)
    return Space(free), {name: getattr(defaults, name) for name in free}
