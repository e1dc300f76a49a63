"""Tuning in synchronous generations: every trial is one generation of one member, and losers go on from winners."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from search.lines import furthest
from search.method_spec import MethodSpec
from search.study import Comparison
from search.tuning import Tuned, Tuning
from tracking.record import Status
from trainables.evolving import EvolvingConfig
from trainables.method import stable_seed

QUARTER = 4  # one in so many members is replaced, as by Ray's `PopulationBasedTraining`


class Evolved(Tuning):
    """Population based training (Jaderberg et al. 2017). After a generation the worst quarter, and whoever failed, goes
    on from a member of the best quarter, drawn anew for each, with mutated settings; the others go on from themselves.

    A generation is asked once the one before has ended, so nothing depends on which member was faster. Without ASHA:
    the population is the early stopping. The budget decides how many members there are, and ends nothing in between.
    """

    def __init__(
        self, comparison: Comparison, problem: str, method: MethodSpec, unit_flops: int, full_flops: int
    ) -> None:
        super().__init__(comparison, problem, method, unit_flops, full_flops)
        config = method.config_class().model_validate(method.settings)
        assert isinstance(config, EvolvingConfig)
        self._first, self._generations = config, config.generations
        limits = (comparison.max_trials, method.limits.trials or comparison.max_trials)
        holds = min(self.budget_flops // full_flops, *(limit // config.generations for limit in limits))
        self.members = max(1, min(config.population, holds))
        self._lines: list[Tuned] = []  # of the generation before, by member: what each goes on from
        self._explores: set[int] = set()

    @property
    def exhausted(self) -> bool:
        asked = len(self.trials)
        return (
            self.closed is not None
            or asked >= min(self.members * self._generations, self._comparison.max_trials)
            or self.failures >= self._comparison.max_failures
            or (asked > 0 and asked % self.members == 0 and self.running == 0 and not self._survivors())
        )

    @property
    def planned_flops(self) -> int:
        return self.members * self.full_flops

    @property
    def may_ask(self) -> bool:
        begins = len(self.trials) % self.members == 0
        return super().may_ask and not (begins and self.running)

    def notes(self) -> dict[str, str]:
        if self.members > 1:
            return {}
        said = f"{self._problem}/{self._method.key}: the budget holds one member only, so nothing is selected"
        return {"population": said}

    def ask(self, recorded: Mapping[str, Any] | None = None, trusted: bool = False) -> Tuned:
        index = len(self.trials)
        generation, member = divmod(index, self.members)
        seed = stable_seed(self._comparison.seed, self._problem, self._method.name, "evolution", index)
        generator = np.random.default_rng(seed)
        if generation == 0:
            config, parent = self._first.begun(generator, member), None
        else:
            if member == 0:
                self._select(generation)
            line = self._lines[member]
            before = self._first.model_validate(line.settings)
            config, parent = before.continued(generator, member in self._explores), line.uid
        settings = dict(recorded) if recorded is not None and trusted else config.model_dump(mode="json")
        share = 1 / self._generations
        return self._add(Tuned(self._uid(index), index, {}, settings, share, generation, parent))

    def confirmed(self) -> dict[str, Any]:
        """The schedule of the best member's line, stretched to the whole horizon."""
        return self._first.model_validate(super().confirmed()).whole().model_dump(mode="json")

    def _judged(self, trial: Tuned, index: int, ready: bool, done: bool) -> Status | None:
        if done:
            return Status.COMPLETE
        return Status.BUDGET if self._cut else None

    def _improve(self, ended: Tuned) -> None:
        """The best of the last generation whose members have all ended; before that, of those that have."""
        whole = furthest(self.trials.values())
        self.best = max((t for t in whole if t.status is Status.COMPLETE), key=self._rank, default=None)

    def _survivors(self) -> list[Tuned]:
        """Of the generation asked last, the best first."""
        asked = list(self.trials.values())[-self.members:]
        whole = [trial for trial in asked if trial.status is Status.COMPLETE]
        return sorted(whole, key=self._rank, reverse=True)

    def _select(self, generation: int) -> None:
        """What every member goes on from, and who mutates."""
        seed = stable_seed(self._comparison.seed, self._problem, self._method.name, "selection", generation)
        generator, ranked = np.random.default_rng(seed), self._survivors()
        count = min(-(-self.members // QUARTER), len(ranked) // 2)  # nobody is among the best and the worst
        worst = {trial.index for trial in ranked[len(ranked) - count:]}
        best, before = ranked[: max(1, count)], list(self.trials.values())[-self.members:]
        self._explores = {k for k, t in enumerate(before) if t.status is not Status.COMPLETE or t.index in worst}
        self._lines = [
            best[generator.integers(len(best))] if member in self._explores else trial
            for member, trial in enumerate(before)
        ]
