"""Our spaces as Optuna distributions, and one real Optuna study that is only asked and told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from search.study import SamplerName
from spaces.domain import Choice, Domain, Float, Int, Point, Space
from tracking.record import Status

_STATES = {
    Status.COMPLETE: TrialState.COMPLETE,
    Status.PRUNED: TrialState.PRUNED,
    Status.BUDGET: TrialState.PRUNED,
    Status.FAILED: TrialState.FAIL,
}


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """The Optuna distributions of a space, in its order."""
    return {name: _distribution(domain) for name, domain in space.root.items()}


def make_sampler(name: SamplerName, seed: int, startup_trials: int) -> BaseSampler:
    """A seeded sampler; `startup_trials` random proposals before TPE models anything."""
    match name:
        case SamplerName.TPE:
            return TPESampler(seed=seed, n_startup_trials=startup_trials)
        case SamplerName.RANDOM:
            return RandomSampler(seed=seed)
        case _:
            assert_never(name)


class Proposer:
    """One in-memory Optuna study, maximising `val/score`.

    A deterministic state machine: the same sequence of asks, reports and ends gives the same proposals. So a
    resumed sweep repeats the journal's sequence and arrives at the same state, the sampler's generator included.

    Args:
        space: what is tuned.
        sampler: a fresh sampler of its own.
        first: the point asked first: the method's defaults.
    """

    def __init__(self, space: Space, sampler: BaseSampler, first: Point | None) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._distributions = distributions(space)
        self._trials: dict[str, optuna.Trial] = {}
        if first is not None:
            self._study.enqueue_trial(first)

    def ask(self, uid: str) -> Point:
        """The next point; a space without parameters always gives the empty one."""
        trial = self._study.ask(self._distributions)
        self._trials[uid] = trial
        return {name: trial.params[name] for name in self._distributions}

    def report(self, uid: str, step: int, score: float) -> None:
        self._trials[uid].report(score, step)

    def end(self, uid: str, status: Status, score: float | None) -> None:
        """Tell how a trial ended. A trial stopped early is PRUNED (its last report counts), never COMPLETE."""
        state = _STATES[status]
        value = score if state is TrialState.COMPLETE else None
        self._study.tell(self._trials.pop(uid), value, state=state)

    def observed(self) -> Mapping[int, tuple[str, float | None]]:
        """Trial number -> (state, value), as Optuna holds them."""
        return {t.number: (t.state.name, t.value) for t in self._study.get_trials(deepcopy=False)}


def _distribution(domain: Domain) -> BaseDistribution:
    match domain:
        case Float():
            return FloatDistribution(domain.low, domain.high, log=domain.log)
        case Int():
            return IntDistribution(domain.low, domain.high, log=domain.log)
        case Choice():
            return CategoricalDistribution(list(domain.options))
        case _:
            assert_never(domain)
