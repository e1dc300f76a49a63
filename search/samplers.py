"""Optuna's samplers by name."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
)

from search.settings import SamplerName
from search.study import Comparison
from spaces.distributions import KnownSpaceTPE
from spaces.domain import Choice, Space

# A proposal of theirs follows from the trials and a seed alone: nothing inside them has to be carried on.
STATELESS = (SamplerName.TPE, SamplerName.GP, SamplerName.MOTPE, SamplerName.MOGP)
GAUSSIAN = (SamplerName.GP, SamplerName.MOGP)


@dataclass(frozen=True, slots=True)
class Sampling:
    """Who proposes in one study, and how.

    Args:
        seed: below 2**32.
        startup_trials: ended trials before a sampler that learns begins to; random proposals until then.
        window: trials that the sampler may look at; more are thinned to the best and the latest.
        population: of a generation of NSGA-II.
    """

    name: SamplerName
    seed: int
    startup_trials: int = 4
    window: int = 250
    population: int = 20

    @property
    def stateless(self) -> bool:
        return self.name in STATELESS

    @property
    def two_objectives(self) -> bool:
        return self.name.two_objectives


def sampling(comparison: Comparison, space: Space, seed: int, trials: float) -> Sampling:
    """What the comparison asks for, as this space allows it.

    Args:
        trials: so many whole ones the study's budget holds; NSGA-II gets about four generations of them.
    """
    name, _ = fitting(comparison.sampler, space)
    # Between 100 trials and 250 TPE's proposals take 1.4 times as long; those of a Gaussian process 2.3 times.
    window = comparison.sampler_window // (2 if name in GAUSSIAN else 1)
    expected = min(float(comparison.max_trials), trials)
    population = min(50, window // 4, max(4, round(expected / 4)))
    return Sampling(name, seed, comparison.startup_trials, window, population)


def fitting(name: SamplerName, space: Space) -> tuple[SamplerName, str | None]:
    """The sampler that proposes in this space: the one asked for, or another one and why."""
    ranges = [domain for domain in space.root.values() if not isinstance(domain, Choice)]
    if name is SamplerName.CMA_ES and space.root and len(ranges) < 2:
        return SamplerName.TPE, f"CMA-ES needs two numeric parameters, here are {len(ranges)}: TPE proposes instead"
    return name, None


def make_sampler(chosen: Sampling, seed: int, space: Mapping[str, BaseDistribution]) -> BaseSampler:
    """A fresh sampler.

    Args:
        seed: below 2**32; of a stateless sampler another one for each proposal.
        space: the distributions of all parameters, which every trial has.
    """
    match chosen.name:
        case SamplerName.TPE | SamplerName.MOTPE:  # Optuna's splits by fronts and their hypervolume for two objectives
            return KnownSpaceTPE(space, seed, chosen.startup_trials)
        case SamplerName.GP | SamplerName.MOGP:  # expected improvement, of the hypervolume for two objectives
            return GPSampler(
                seed=seed, n_startup_trials=chosen.startup_trials, independent_sampler=RandomSampler(seed=seed),
                warn_independent_sampling=False,
            )
        case SamplerName.CMA_ES:
            return CmaEsSampler(
                seed=seed, n_startup_trials=chosen.startup_trials, independent_sampler=RandomSampler(seed=seed),
                warn_independent_sampling=False,  # choices are drawn at random, as docs/samplers.md says
            )
        case SamplerName.QUASI_RANDOM:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                return QMCSampler(
                    seed=seed, scramble=True, independent_sampler=RandomSampler(seed=seed),
                    warn_independent_sampling=False,
                )
        case SamplerName.RANDOM | SamplerName.GRID:  # a grid's points are all planned
            return RandomSampler(seed=seed)
        case SamplerName.NSGA_II:
            return NSGAIISampler(seed=seed, population_size=chosen.population)
        case _:
            assert_never(chosen.name)
