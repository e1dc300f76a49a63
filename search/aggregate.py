"""One figure over several problems: interquartile mean with its interval, mean ranks, and where the noise comes from.

Axes: S seeds, K problems, M methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, trim_mean

from search.statistics import CONFIDENCE, Estimate

Scores = NDArray[np.float64]
QUARTER = 0.25


def interquartile_mean(runs: Sequence[Sequence[float]], generator: np.random.Generator, draws: int = 2000) -> Estimate:
    """Mean of the middle half of all runs of all problems, with a percentile interval (Agarwal et al. 2021).

    The bootstrap is stratified: seeds are drawn anew within every problem, so the interval tells what other seeds would
    give on these problems, and nothing of other problems. With few seeds it is too short: see the tests for how much.

    Args:
        runs: K lists of scores, of any lengths from 1 on.
        generator: of the bootstrap.
        draws: of the bootstrap.

    Raises:
        ValueError: there is no problem, or one without a run.
    """
    if not runs or not all(runs):
        raise ValueError("every problem needs a run")
    strata = [np.asarray(values, dtype=np.float64) for values in runs]
    everything = np.concatenate(strata)
    drawn = np.concatenate([
        values[generator.integers(0, len(values), (draws, len(values)))] for values in strata
    ], axis=1)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(trim_mean(drawn, QUARTER, axis=1), [tail, 100 - tail])
    return Estimate(float(trim_mean(everything, QUARTER)), float(low), float(high), len(everything))


def mean_ranks(scores: Scores) -> NDArray[np.float64]:
    """(M,) rank of each method over problems, 1 the best; equals share their mean rank.

    Args:
        scores: (M, K), higher is better.
    """
    return np.asarray(rankdata(-scores, axis=0).mean(1), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Spread:
    """Two sources of variance, each estimated without bias but never below zero.

    Args:
        between: of what searches arrive at.
        within: of trainings with one and the same outcome of a search.
    """

    between: float
    within: float

    def of_mean(self, searches: int, trainings: int) -> float:
        """Variance of a mean over so many searches with so many trainings each."""
        return self.between / searches + self.within / (searches * trainings)


def spread(scores: Scores) -> Spread:
    """The split of one-way random effects: E[MS_within] = sigma_w^2, E[MS_between] = sigma_w^2 + T sigma_b^2.

    Args:
        scores: (S searches, T trainings of what each found), both 2 at least.

    Raises:
        ValueError: there are fewer.
    """
    searches, trainings = scores.shape
    if searches < 2 or trainings < 2:
        raise ValueError(f"two searches with two trainings each are needed, but got {scores.shape}")
    within = float(scores.var(axis=1, ddof=1).mean())
    between = float(scores.mean(1).var(ddof=1)) - within / trainings
    return Spread(max(0.0, between), within)
