"""One study from its probe to its last confirm seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from search.confirm import Confirm
from search.lines import Line
from search.method_spec import MethodSpec
from search.spending import tally_of
from search.study import Comparison
from search.tuning import Tuned, Tuning, Verdict
from search.tunings import tuning_of
from tracking.record import Stage, Status
from trainables.assignment import PROBE_FRACTION, Report


class Stand(StrEnum):
    """How far a study is."""

    PREPARE = "prepare"
    TUNE = "tune"
    CONFIRM = "confirm"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Asked:
    """A trial to start."""

    uid: str
    stage: Stage
    index: int
    settings: dict[str, Any]
    line: Line | None = None


class Course:
    """probe -> tune -> confirm of one (problem, method); knows nothing of Ray or of files.

    Args:
        problem: label of the problem.
        method: which row of the table.
        warm: observations of earlier sweeps, for the sampler.
    """

    def __init__(
        self, comparison: Comparison, problem: str, method: MethodSpec, warm: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        self.problem, self.method = problem, method
        self._warm = warm
        self.stand = Stand.PREPARE
        self.reason: str | None = None
        self.unit_flops: int | None = None
        self.full_flops: int | None = None
        self.tuning: Tuning | None = None
        self.confirm: Confirm | None = None
        self._comparison = comparison
        self._probing = False
        self._lacks: set[str] = set()  # keys of artefacts
        self._spent = tally_of(comparison)  # by the tuning, for the row's own limits

    @property
    def settled(self) -> bool:
        return self.stand in (Stand.DONE, Stand.FAILED)

    @property
    def may_ask(self) -> bool:
        if self._lacks:
            return False
        match self.stand:
            case Stand.PREPARE:
                return not self._probing
            case Stand.TUNE:
                return self.tuning is not None and self.tuning.may_ask
            case Stand.CONFIRM:
                return self.confirm is not None and self.confirm.may_ask
            case _:
                return False

    @property
    def remaining_flops(self) -> float:
        """Work ahead, roughly: orders the studies and tells the time left; no result depends on it."""
        seeds = self._comparison.confirm_seeds
        if self.tuning is None:
            return self._comparison.budget * (self.unit_flops or 0) * 2
        if self.stand is Stand.TUNE:
            left = max(0, self.tuning.planned_flops - self.tuning.spent_flops)
            return left + seeds * self.tuning.full_flops
        waiting = 0 if self.confirm is None else self.confirm.waiting
        return float(waiting * self.tuning.full_flops)

    def ask(
        self, uid: str | None = None, config: Mapping[str, Any] | None = None, trusted: bool = False
    ) -> Asked:
        """The next trial; `uid` and `config` are those that the journal says were asked.

        Args:
            trusted: they count, whatever this version of the code would ask.
        """
        if self.stand is Stand.PREPARE:
            self._probing = True
            defaults = self.method.config_class().model_validate(self.method.settings)
            return Asked(f"{self._prefix}/probe", Stage.PROBE, 0, defaults.model_dump(mode="json"))
        if self.stand is Stand.TUNE:
            assert self.tuning is not None
            trial = self.tuning.ask(config, trusted)
            self._spent.ask(trial.uid)
            if self._spent.full(self.method.limits):
                self.tuning.close(f"trials: {self._spent.asked} of {self.method.limits.trials}", cut=False)
            return Asked(trial.uid, Stage.TUNE, trial.index, trial.settings, self._line(trial))
        assert self.confirm is not None
        chosen = self.confirm.ask() if uid is None else self.confirm.take(uid)
        return Asked(chosen.uid, chosen.stage, chosen.seed_index, chosen.settings)

    def take(self, stage: Stage, report: Report) -> Verdict:
        """One report of one of this study's trials."""
        done = report.status is Status.COMPLETE
        if stage is Stage.TUNE:
            assert self.tuning is not None
            assert report.score is not None
            self._spend(report)
            verdict = self.tuning.report(
                report.uid, report.index, report.flops, report.score, report.ready, done
            )
            self._after_tuning()
            return verdict
        if stage is Stage.PROBE:
            if done:
                self._after_probe(report.flops)
        elif done:
            assert self.confirm is not None
            self.confirm.complete(report.uid, report.found)
            self._after_confirm()
        return Verdict.STOP if done else Verdict.CONTINUE

    def lack(self, key: str) -> None:
        """No further trial can begin without this artefact."""
        self._lacks.add(key)

    def provide(self, key: str) -> None:
        """The artefact is there."""
        self._lacks.discard(key)

    def set_unit(self, flops: int) -> None:
        """What one plain training of the problem costs."""
        self.unit_flops = flops
        self._begin_tuning()

    def lose(self, uid: str, stage: Stage, reason: str, report: Report | None) -> None:
        """One of this study's trials failed; with the report that says so, where there is one."""
        if self.settled:
            return
        if stage is Stage.PROBE:
            self.fail(f"the probe failed: {reason}")
        elif stage is Stage.TUNE and self.tuning is not None:
            if report is not None:
                self._spend(report)
            self.tuning.fail(uid, 0 if report is None else report.flops)
            self._after_tuning(reason)
        elif self.confirm is not None:
            self.confirm.fail(uid)
            self._after_confirm()

    def fail(self, reason: str) -> None:
        self.stand, self.reason = Stand.FAILED, reason

    @property
    def best(self) -> Tuned | None:
        return None if self.tuning is None else self.tuning.best

    def _line(self, trial: Tuned) -> Line | None:
        if trial.generation is None:
            return None
        return Line(trial.generation, trial.parent, last=trial.generation + 1 == round(1 / trial.share))

    @property
    def _prefix(self) -> str:
        return f"{self.problem}/{self.method.key}"

    def _after_probe(self, flops: int) -> None:
        if flops == 0:
            self.fail("the probe charged no FLOPs: a method wraps its updates in `meter.unit(...)`")
            return
        horizon = self._comparison.horizon
        probed = max(1, round(horizon * PROBE_FRACTION)) if self.method.config_class().scales_with_horizon else horizon
        self.full_flops = round(flops * horizon / probed)
        self._begin_tuning()

    def _begin_tuning(self) -> None:
        """Once both are known: the budget's unit, and what the method's own horizon costs."""
        if self.unit_flops is None or self.full_flops is None or self.settled:
            return
        multiples = self.full_flops / self.unit_flops
        if multiples > self._comparison.budget:
            self.fail(
                f"one training costs {multiples:.1f} plain trainings, more than the budget of "
                f"{self._comparison.budget:g}: no trial could reach its horizon"
            )
            return
        self.tuning = tuning_of(
            self._comparison, self.problem, self.method, self.unit_flops, self.full_flops, self._warm
        )
        self.stand = Stand.TUNE

    def _spend(self, report: Report) -> None:
        """The row's own limits: what the journaled reports say decides, so a resumed sweep decides the same."""
        self._spent.take(report.uid, report.index, report.metrics, failed=report.status is Status.FAILED)
        reached = self._spent.exceeded(self.method.limits)
        if reached is not None and self.tuning is not None:
            self.tuning.close(reached, cut=True)

    def _after_tuning(self, reason: str = "") -> None:
        if self.tuning is None or not self.tuning.done:
            return
        best = self.tuning.best
        if best is None:
            detail = f"; the last failure: {reason}" if reason else ""
            self.fail(f"no trial reached its horizon ({self.tuning.failures} failed){detail}")
            return
        self.confirm = Confirm(
            self._prefix, self.tuning.confirmed(), self._comparison.confirm_seeds, self._comparison.replays
        )
        self.stand = Stand.CONFIRM

    def _after_confirm(self) -> None:
        if self.confirm is not None and self.confirm.done:
            self.stand = Stand.DONE
