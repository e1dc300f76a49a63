"""Our spaces as Optuna distributions, and Optuna's TPE where every trial has all parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from spaces.domain import Choice, Domain, Float, Int, Space


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """The Optuna distributions of a space, in its order."""
    return {name: _distribution(domain) for name, domain in space.root.items()}


class KnownSpaceTPE(TPESampler):
    """It need not look through all trials for the parameters that they have in common."""

    def __init__(self, space: Mapping[str, BaseDistribution], seed: int, startup_trials: int) -> None:
        super().__init__(seed=seed, n_startup_trials=startup_trials)
        self._known = {name: space[name] for name in sorted(space) if not space[name].single()}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._known


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
