"""Which rows of a problem differ from its best control, and which do not by more than the noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from search.row import Averaging, Contrast, Row, Verdict
from search.statistics import ALPHA, Paired, detectable, holm, paired, pairs_needed


def judged(made: Sequence[Row]) -> list[Row]:
    """Compare the rows of one problem with its best control, and correct over all of them.

    The reference is the best of k controls by the very scores that are tested. A row that is better has beaten their
    maximum, which chance does less often than p says. One that is worse would have been held against whichever control
    came out on top: k one-sided tests, each with half of the two-sided p, so that k p / 2 stands for it (Bonferroni; p
    itself for k < 3). Holm's procedure runs over the rows.
    """
    reference = best_control(made)
    if reference is None:
        alone = not any(row.control for row in made)
        return [replace(row, verdict=Verdict.ALONE) for row in made] if alone else list(made)
    against = reference.scores[Averaging.NONE]
    tests = [None if row is reference else _against(row.scores[Averaging.NONE], against) for row in made]
    chosen = max(1.0, _rivals(made, reference) / 2)
    factors = [1.0 if test is None or test.difference.mean >= 0 else chosen for test in tests]
    # A replay that trained what its search had trained has the search's scores: one test, whatever it is called.
    distinct = {
        _scores(row): min(1.0, factor * test.p)
        for row, test, factor in zip(made, tests, factors, strict=True) if test is not None
    }
    corrected, count = dict(zip(distinct, holm(list(distinct.values())), strict=True)), len(distinct)
    found = []
    for row, test, factor in zip(made, tests, factors, strict=True):
        if row is reference:
            found.append(replace(row, verdict=Verdict.CONTROL))
        elif test is None:
            found.append(row)
        else:
            p = corrected[_scores(row)]
            level = ALPHA / (count * factor)
            least = detectable(test.sd, test.difference.count, level)
            needed = pairs_needed(test.sd, test.difference.mean, level)
            contrast = Contrast(reference.label, test, p, least, needed, factor)
            found.append(replace(row, verdict=_verdict(test, p), contrast=contrast))
    return found


def best_control(made: Sequence[Row]) -> Row | None:
    """The control of the highest mean among those that failed on the fewest seeds.

    One that failed on hard seeds has its mean over easy ones, and nobody could rely on it. One with a single seed
    cannot be tested against at all. Seeds that have not run yet are no failures.
    """
    candidates = [row for row in made if row.control and row.test is not None]
    return max(candidates, key=_standing, default=None)


def _rivals(made: Sequence[Row], reference: Row) -> int:
    """The controls among which the scores that are tested chose the reference, itself included."""
    controls = [row for row in made if row.control and row.test is not None]
    return len({_scores(row) for row in controls if _standing(row)[:2] == _standing(reference)[:2]})


def _standing(row: Row) -> tuple[bool, int, float]:
    estimate = row.estimates[Averaging.NONE]
    failed = sum(trial.stage is row.way for trial in row.failures)
    return estimate.count > 1, -failed, estimate.mean


def _scores(row: Row) -> tuple[tuple[int, float], ...]:
    return tuple(sorted(row.scores[Averaging.NONE].items()))


def _against(own: Mapping[int, float], control: Mapping[int, float]) -> Paired | None:
    common = sorted(own.keys() & control.keys())
    return paired([own[seed] for seed in common], [control[seed] for seed in common])


def _verdict(test: Paired, p: float) -> Verdict:
    if p > ALPHA:
        return Verdict.EQUAL
    return Verdict.BETTER if test.difference.mean > 0 else Verdict.WORSE
