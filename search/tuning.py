"""The tune stage of one study: what has been asked, what came of it, what it has cost; who asks is a subclass's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from search.method_spec import MethodSpec
from search.study import Comparison
from spaces.domain import Point
from tracking.record import Status


class Verdict(StrEnum):
    """What a report leads to."""

    CONTINUE = "continue"
    STOP = "stop"


@dataclass
class Tuned:
    """A trial of the tune stage, as far as it is known.

    Args:
        point: the tunable fields' values.
        share: of a training that the trial does.
        generation: counted from 0; None where trials are not bred.
        parent: uid of the trial whose state it goes on from.
    """

    uid: str
    index: int
    point: Point
    settings: dict[str, Any]
    share: float = 1.0
    generation: int | None = None
    parent: str | None = None
    status: Status = Status.RUNNING
    score: float | None = None
    flops: int = 0
    curve: list[tuple[int, float]] = field(default_factory=list)  # (flops, score) of ready reports


class Tuning(ABC):
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
        self.spent_flops = 0  # everything counts: stopped and failed trials too
        self.running = 0
        self.failures = 0
        self.best: Tuned | None = None
        self.closed: str | None = None
        self._cut = False
        self.budget_flops = int(comparison.budget * unit_flops)
        self.full_flops = full_flops
        self._comparison, self._problem, self._method = comparison, problem, method

    @property
    @abstractmethod
    def exhausted(self) -> bool:
        """Nothing more will be asked: budget or limit spent, trials used up, or too many of them failed."""

    @abstractmethod
    def ask(self, recorded: Mapping[str, Any] | None = None, trusted: bool = False) -> Tuned:
        """The next trial.

        Args:
            recorded: the settings that the journal says were asked.
            trusted: they are taken as they are, whatever this version would ask.
        """

    @abstractmethod
    def notes(self) -> dict[str, str]:
        """What a person should know about how this study is sampled, by a short key; grows as it happens."""

    @property
    def planned_flops(self) -> int:
        """What it is going to spend, about."""
        return self.budget_flops

    @property
    def done(self) -> bool:
        return self.exhausted and self.running == 0

    @property
    def may_ask(self) -> bool:
        return not self.exhausted and self.running < (self._comparison.parallel_trials or 1)

    def front(self) -> list[Tuned]:
        """Of two objectives: trials that no other one beats in score and FLOPs at once; cheapest first."""
        return []

    def confirmed(self) -> dict[str, Any]:
        """The settings that the confirm stage trains from scratch; there is a best trial."""
        assert self.best is not None
        return self.best.settings

    def observed(self) -> dict[int, tuple[str, list[float] | None]]:
        """What Optuna holds."""
        return {}

    def rungs(self) -> list[tuple[float, int, float | None]]:
        return []

    def report(self, uid: str, index: int, flops: int, score: float, ready: bool, done: bool) -> Verdict:
        """Take in one report; ends the trial where it is done, pruned or out of budget."""
        trial = self.trials[uid]
        self._spend(trial, flops)
        trial.score = score
        if ready:
            trial.curve.append((flops, score))
        ended = self._judged(trial, index, ready, done)
        return Verdict.CONTINUE if ended is None else self._end(trial, ended)

    def close(self, reason: str, cut: bool) -> None:
        """Ask nothing more; with `cut`, trials that run end at their next report, whatever it says."""
        self.closed, self._cut = self.closed or reason, self._cut or cut

    def fail(self, uid: str, flops: int) -> None:
        trial = self.trials[uid]
        self._spend(trial, max(trial.flops, flops))
        trial.score = None
        self._end(trial, Status.FAILED)

    @abstractmethod
    def _judged(self, trial: Tuned, index: int, ready: bool, done: bool) -> Status | None:
        """How a trial ends by its report; None where it goes on."""

    def _uid(self, index: int) -> str:
        return f"{self._problem}/{self._method.key}/tune-{index:03d}"

    def _add(self, trial: Tuned) -> Tuned:
        self.trials[trial.uid] = trial
        self.running += 1
        return trial

    def _spend(self, trial: Tuned, flops: int) -> None:
        self.spent_flops += flops - trial.flops
        trial.flops = flops

    def _end(self, trial: Tuned, status: Status) -> Verdict:
        trial.status = status
        self.running -= 1
        self.failures += status is Status.FAILED
        self._improve(trial)
        return Verdict.STOP

    @abstractmethod
    def _improve(self, ended: Tuned) -> None:
        """Choose the best trial anew."""

    def _rank(self, trial: Tuned) -> tuple[float, ...]:
        """The highest select score; of equals the earlier."""
        assert trial.score is not None
        return trial.score, -trial.index
