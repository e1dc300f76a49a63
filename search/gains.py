"""What a search gains over the same space without a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.row import Averaging, Row, Verdict
from search.sentences import common_seeds, gap_text, once, p_text
from search.statistics import ALPHA, Paired, holm, paired
from tracking.record import Stage


@dataclass(frozen=True, slots=True)
class Gain:
    """A row minus the row that draws from its space at random, seed by seed.

    Args:
        relative: 100 (mean - mean of random) / mean of random, in percent (Yang et al. 2020); None where that mean is
            not above 0.
        p_holm: over all such pairs of the problem.
    """

    row: Row
    random: Row
    test: Paired
    relative: float | None
    p_holm: float


def gains(rows: Sequence[Row], random_controls: Mapping[str, str]) -> list[Gain]:
    """Of the rows of one problem that search a space which another row draws from.

    Args:
        random_controls: label of a row -> label of that other row.
    """
    reruns = {row.method: row for row in rows if row.way is Stage.RERUN and row.test is not None}
    tested = []
    for method, row in reruns.items():
        random = reruns.get(random_controls.get(method, ""))
        if random is None:
            continue
        own, drawn = row.scores[Averaging.NONE], random.scores[Averaging.NONE]
        seeds = sorted(own.keys() & drawn.keys())
        test = paired([own[seed] for seed in seeds], [drawn[seed] for seed in seeds])
        base = sum(drawn[seed] for seed in seeds) / len(seeds) if seeds else 0.0
        if test is not None:
            tested.append((row, random, test, 100 * test.difference.mean / base if base > 0 else None))
    corrected = holm([test.p for _, _, test, _ in tested])
    return [Gain(*parts, p) for parts, p in zip(tested, corrected, strict=True)]


def sentences(found: Sequence[Gain]) -> list[str]:
    """Which searches gained something over their random control, and which were not seen to; control by control."""
    controls = dict.fromkeys(one.random.label for one in found)
    return [said for label in controls for said in _over([one for one in found if one.random.label == label])]


def _over(found: Sequence[Gain]) -> list[str]:
    """Of the searches of one space."""
    problem, control = found[0].row.problem, found[0].random.label
    said = [
        f"{problem}: {one.row.label} gains {gap_text(one.test.difference, one.row.accuracy, signed=False)} over "
        f"{one.random.label}{common_seeds(one.row, one.test)}, the same space without a search "
        f"({p_text(one.p_holm)} after Holm){_beside(one)}."
        for one in found if one.p_holm <= ALPHA and one.test.difference.mean > 0
    ]
    lost = [one for one in found if one.p_holm <= ALPHA and one.test.difference.mean < 0]
    # The family of all rows is larger than this one: a row may be worse here and not be found to differ there.
    unsaid = [one for one in lost if not _said_already(one)]
    if unsaid:
        shared = once([common_seeds(one.row, one.test) for one in unsaid])
        names = ", ".join(f"{one.row.label}{'' if shared else common_seeds(one.row, one.test)}" for one in unsaid)
        said.append(f"{problem}: of the searches alone (a family of tests of its own), worse than {control}"
                    f"{f' (each{shared})' if shared else ''}: {names}{_beside(unsaid[0])}.")
    if not said and not lost:
        said.append(f"{problem}: no search was found to gain anything over {control}, its space without a search.")
    return said


def _beside(found: Gain) -> str:
    """Why this is said where the sentences over all rows found no difference: other tests, or another control."""
    if found.row.verdict is not Verdict.EQUAL or found.row.contrast is None:
        return ""
    if found.random.verdict is Verdict.CONTROL:
        return "; over all rows, a larger family of tests, that was not found"
    if found.test.difference.mean < 0:
        return ""
    return f"; from {found.row.contrast.reference}, the best control, no difference was found"


def _said_already(lost: Gain) -> bool:
    """Whether the sentences over all rows call this row worse than this very control."""
    return lost.random.verdict is Verdict.CONTROL and lost.row.verdict is Verdict.WORSE


def records(found: Sequence[Gain]) -> list[dict[str, Any]]:
    """One line per pair."""
    return [
        {
            "problem": one.row.problem, "method": one.row.method, "random_control": one.random.method,
            "gain_mean": one.test.difference.mean, "gain_low95": one.test.difference.low,
            "gain_high95": one.test.difference.high, "gain_relative_percent": one.relative, "p": one.test.p,
            "p_holm": one.p_holm, "seeds": one.test.difference.count,
        }
        for one in found
    ]
