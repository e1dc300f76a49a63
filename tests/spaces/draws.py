"""What policies are tested with: how often things were drawn."""

from __future__ import annotations

from scipy import stats
from torch import Tensor

FALSE_ALARM = 1e-6  # of each statistical check, had the seed not been fixed


def frequencies_fit(counts: Tensor, probabilities: Tensor) -> bool:
    """Pearson's chi-square; rejects true probabilities with probability FALSE_ALARM."""
    probabilities = probabilities.double()
    expected = (probabilities / probabilities.sum() * counts.sum()).tolist()
    return bool(stats.chisquare(counts.tolist(), expected).pvalue > FALSE_ALARM)
