"""Tuning where Optuna proposes, ASHA stops, and the budget ends it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search import grid
from search.front import pareto
from search.method_spec import MethodSpec
from search.proposer import Proposer
from search.samplers import fitting, sampling
from search.schedulers import Halving
from search.settings import SamplerName
from search.study import Comparison
from search.tuning import Tuned, Tuning, Verdict
from tracking.record import Status
from trainables.method import stable_seed


class Sampled(Tuning):
    """Every trial is a training from scratch.

    Args:
        comparison, problem, method, unit_flops, full_flops: as of any tuning.
        warm: observations of earlier sweeps. The sampler knows them; they cost nothing here and are never chosen.
    """

    def __init__(
        self, comparison: Comparison, problem: str, method: MethodSpec, unit_flops: int, full_flops: int,
        warm: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(comparison, problem, method, unit_flops, full_flops)
        self._space, self._config = method.space(), method.config_class()  # looked up once: it searches folders
        self._two_objectives = comparison.sampler.two_objectives
        self._proposer = self._made_proposer(warm)
        halves = comparison.asha is not None and not self._two_objectives
        self._halving = Halving(comparison.asha, full_flops) if halves and comparison.asha is not None else None

    @property
    def exhausted(self) -> bool:
        return (
            self.closed is not None
            or self.spent_flops >= self.budget_flops
            or self._proposer.exhausted
            or self._tried_all
            or len(self.trials) >= self._comparison.max_trials
            or self.failures >= self._comparison.max_failures
        )

    @property
    def _tried_all(self) -> bool:
        """Where nothing is tuned one trial is all there is to try; one that failed is tried again."""
        return not self._space.names and any(one.status is not Status.FAILED for one in self.trials.values())

    def notes(self) -> dict[str, str]:
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
        whole = [t for t in self.trials.values() if t.status is Status.COMPLETE and t.score is not None]
        return pareto([(t.score or 0.0, t.flops, t) for t in whole]) if self._two_objectives else []

    def ask(self, recorded: Mapping[str, Any] | None = None, trusted: bool = False) -> Tuned:
        uid = self._uid(len(self.trials))
        known = None if recorded is None else {name: recorded.get(name) for name in self._space.names}
        point = self._proposer.ask(uid, known if known is not None and self._space.contains(known) else None, trusted)
        if recorded is not None and trusted:
            settings = dict(recorded)
        else:
            settings = self._configured({**self._method.settings, **point})
        if self._halving is not None:
            self._halving.add(uid)
        return self._add(Tuned(uid, len(self.trials), point, settings))

    def _configured(self, fields: dict[str, Any]) -> dict[str, Any]:
        """All fields of the configuration; those that it refuses as they are, so that the trial fails, and it alone."""
        try:
            return self._config.model_validate(fields).model_dump(mode="json")
        except Exception:  # a validator is the user's code
            return fields

    def fail(self, uid: str, flops: int) -> None:
        if self._halving is not None:
            self._halving.remove(uid)
        super().fail(uid, flops)

    def observed(self) -> dict[int, tuple[str, list[float] | None]]:
        return dict(self._proposer.observed())

    def rungs(self) -> list[tuple[float, int, float | None]]:
        return [] if self._halving is None else self._halving.rungs()

    def _judged(self, trial: Tuned, index: int, ready: bool, done: bool) -> Status | None:
        assert trial.score is not None
        if ready:
            self._proposer.report(trial.uid, index, trial.score)
        if done:
            if self._halving is not None:
                self._halving.complete(trial.uid, trial.flops, trial.score)
            return Status.COMPLETE
        # ASHA judges only what could show something; the cost counts all the same.
        if ready and self._halving is not None and self._halving.stops(trial.uid, trial.flops, trial.score):
            return Status.PRUNED
        return Status.BUDGET if self._cut or self.spent_flops >= self.budget_flops else None

    def _end(self, trial: Tuned, status: Status) -> Verdict:
        self._proposer.end(trial.uid, status, trial.score, trial.flops)
        return super()._end(trial, status)

    def _improve(self, ended: Tuned) -> None:
        """Of trials that reached their horizon; looks at the one that ended alone: there may be ten thousand."""
        if ended.status is Status.COMPLETE and (self.best is None or self._rank(ended) > self._rank(self.best)):
            self.best = ended

    def _rank(self, trial: Tuned) -> tuple[float, ...]:
        """The highest select score; of equals the cheaper one on a front, else the earlier."""
        assert trial.score is not None
        cost = -trial.flops if self._two_objectives else 0
        return trial.score, cost, -trial.index

    def _made_proposer(self, warm: Sequence[Mapping[str, Any]]) -> Proposer:
        """Defaults first, then the given points, then the sampler, which knows the warm observations.

        Its seed is the method's, not the row's: rows of one method are tuned with the same draws, as they are trained
        with the same seeds, so a method under two names is one.
        """
        comparison = self._comparison
        seed = stable_seed(comparison.seed, self._problem, self._method.name, "sampler") % 2**32  # NumPy's range
        chosen = sampling(comparison, self._space, seed, self.budget_flops / self.full_flops)
        first, on_grid = self._method.first_points(), comparison.sampler is SamplerName.GRID
        if on_grid:
            first += grid.points(self._space, comparison.grid_points, seed)
        made = Proposer(self._space, chosen, first, only_first=on_grid)
        for seen in warm:
            made.observe(seen["point"], seen["score"], seen["flops"], seen["steps"])
        return made
