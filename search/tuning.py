"""The tune stage of one study: Optuna proposes, ASHA stops, the budget ends it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from search import grid
from search.front import pareto
from search.proposer import Proposer
from search.samplers import fitting, sampling
from search.schedulers import Halving
from search.study import Comparison, MethodSpec, SamplerName
from spaces.domain import Point
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
        warm: observations of earlier sweeps. The sampler knows them; they cost nothing here and are never chosen.
    """

    def __init__(
        self, comparison: Comparison, problem: str, method: MethodSpec, unit_flops: int, full_flops: int,
        warm: Sequence[Mapping[str, Any]] = (),
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
        self._space, self._config = method.space(), method.config_class()  # looked up once: it searches folders
        self._two_objectives = comparison.sampler is SamplerName.NSGA_II
        self._proposer = self._made_proposer(warm)
        halves = comparison.asha is not None and not self._two_objectives
        self._halving = Halving(comparison.asha, full_flops) if halves and comparison.asha is not None else None

    @property
    def exhausted(self) -> bool:
        """Nothing more will be asked: budget or limit spent, trials used up, or too many of them failed."""
        return (
            self.closed is not None
            or self.spent_flops >= self.budget_flops
            or self._proposer.exhausted
            or len(self.trials) >= self._comparison.max_trials
            or self.failures >= self._comparison.max_failures
        )

    @property
    def done(self) -> bool:
        return self.exhausted and self.running == 0

    @property
    def may_ask(self) -> bool:
        return not self.exhausted and self.running < (self._comparison.parallel_trials or 1)

    def notes(self) -> dict[str, str]:
        """What a person should know about how this study is sampled, by a short key; grows as it happens."""
        found: dict[str, str] = {}
        _, instead = fitting(self._comparison.sampler, self._space)
        if instead is not None:
            found["sampler"] = f"{self._problem}/{self._method.key}: {instead}"
        if self._proposer.thinned:
            found["window"] = (
                f"{self._problem}/{self._method.key}: more trials than `sampler_window`; from here on "
                f"{self._proposer.sampler} proposes from the best and the latest ones"
            )
        return found

    def front(self) -> list[Tuned]:
        """Of two objectives: trials that no other one beats in score and FLOPs at once; cheapest first."""
        whole = [t for t in self.trials.values() if t.status is Status.COMPLETE and t.score is not None]
        return pareto([(t.score or 0.0, t.flops, t) for t in whole]) if self._two_objectives else []

    def ask(self, recorded: Mapping[str, Any] | None = None, trusted: bool = False) -> Tuned:
        """The next trial.

        Args:
            recorded: the settings that the journal says were asked.
            trusted: they are taken as they are, whatever this version would ask.
        """
        index = len(self.trials)
        uid = f"{self._problem}/{self._method.key}/tune-{index:03d}"
        known = None if recorded is None else {name: recorded.get(name) for name in self._space.names}
        point = self._proposer.ask(uid, known if known is not None and self._space.contains(known) else None, trusted)
        if recorded is not None and trusted:
            settings = dict(recorded)
        else:
            fields = {**self._method.settings, **point}
            settings = self._config.model_validate(fields).model_dump(mode="json")
        trial = Tuned(uid, index, point, settings)
        self.trials[uid] = trial
        self.running += 1
        if self._halving is not None:
            self._halving.add(uid)
        return trial

    def report(self, uid: str, index: int, flops: int, score: float, ready: bool, done: bool) -> Verdict:
        """Take in one report; ends the trial where it is done, pruned or out of budget."""
        trial = self.trials[uid]
        self._spend(trial, flops)
        trial.score = score
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
        if self._cut or self.spent_flops >= self.budget_flops:
            return self._end(trial, Status.BUDGET)
        return Verdict.CONTINUE

    def close(self, reason: str, cut: bool) -> None:
        """Ask nothing more; with `cut`, trials that run end at their next report, whatever it says."""
        self.closed, self._cut = self.closed or reason, self._cut or cut

    def fail(self, uid: str, flops: int) -> None:
        trial = self.trials[uid]
        self._spend(trial, max(trial.flops, flops))
        if self._halving is not None:
            self._halving.remove(uid)
        trial.score = None
        self._end(trial, Status.FAILED)

    def observed(self) -> dict[int, tuple[str, list[float] | None]]:
        """What Optuna holds."""
        return dict(self._proposer.observed())

    def rungs(self) -> list[tuple[float, int, float | None]]:
        return [] if self._halving is None else self._halving.rungs()

    def _spend(self, trial: Tuned, flops: int) -> None:
        self.spent_flops += flops - trial.flops
        trial.flops = flops

    def _end(self, trial: Tuned, status: Status) -> Verdict:
        trial.status = status
        self.running -= 1
        self.failures += status is Status.FAILED
        self._proposer.end(trial.uid, status, trial.score, trial.flops)
        if status is Status.COMPLETE and (self.best is None or self._rank(trial) > self._rank(self.best)):
            self.best = trial
        return Verdict.STOP

    def _rank(self, trial: Tuned) -> tuple[float, ...]:
        """The highest select score, of trials that reached their horizon; of equals on the front, else the earlier."""
        assert trial.score is not None
        cost = -trial.flops if self._two_objectives else 0
        return trial.score, cost, -trial.index

    def _made_proposer(self, warm: Sequence[Mapping[str, Any]]) -> Proposer:
        """Defaults first, then the given points, then the sampler, which knows the warm observations."""
        comparison = self._comparison
        seed = stable_seed(comparison.seed, self._problem, self._method.key, "sampler") % 2**32  # NumPy's range
        chosen = sampling(comparison, self._space, seed, self.budget_flops / self.full_flops)
        first, on_grid = self._method.first_points(), comparison.sampler is SamplerName.GRID
        if on_grid:
            first += grid.points(self._space, comparison.grid_points, seed)
        made = Proposer(self._space, chosen, first, only_first=on_grid)
        for seen in warm:
            made.observe(seen["point"], seen["score"], seen["flops"], seen["steps"])
        return made
