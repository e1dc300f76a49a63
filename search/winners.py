"""What a careful person would write about one problem: which rows lead, whether they differ, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from search.break_even import task_flops
from search.row import Averaging, Row, Verdict
from search.sentences import TOO_FEW, common_seeds, multiples_text, once, p_text, score_said
from search.statistics import ALPHA, Paired, holm, paired, pairs_needed
from search.words import listed
from tracking.record import Stage

CHEAPER = 1.5  # times as much, from where on a difference in cost is worth a sentence


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rows that both beat the best control, a minus b.

    Args:
        p_holm: over all pairs of such rows of the problem.
        needed: seeds with which a true difference as large as this would be found in four of five such sweeps, with
            these differences' spread; None where there is no difference.
    """

    a: Row
    b: Row
    test: Paired
    p_holm: float
    needed: int | None


def winners(rows: Sequence[Row]) -> list[Row]:
    """Searches of one problem that are better than its best control, the best first.

    Replays only repeat them, and bounds have found nothing.
    """
    better = [
        row for row in rows
        if row.verdict is Verdict.BETTER and row.test is not None and row.way is Stage.RERUN and not row.bound
    ]
    return sorted(better, key=lambda row: -row.test.mean if row.test else 0.0)


def pairs(rows: Sequence[Row]) -> list[Pair]:
    """Paired t-tests between the winners, corrected after Holm over their pairs.

    Two gates, each at 5 %: the first is the test against the best control, so where nothing differs from the control
    nothing comes here.
    """
    found = []
    for a, b in combinations(winners(rows), 2):
        own, others = a.scores[Averaging.NONE], b.scores[Averaging.NONE]
        seeds = sorted(own.keys() & others.keys())
        test = paired([own[seed] for seed in seeds], [others[seed] for seed in seeds])
        if test is not None:
            found.append((a, b, test))
    corrected = holm([test.p for _, _, test in found])
    return [
        Pair(a, b, test, p, pairs_needed(test.sd, test.difference.mean, ALPHA / len(found)))
        for (a, b, test), p in zip(found, corrected, strict=True)
    ]


def summary(made: Sequence[Row]) -> list[str]:
    """One problem in a few sentences; none before a verdict on a row that is no bound is there."""
    rows = [row for row in made if not row.bound]
    control = next((row for row in rows if row.verdict is Verdict.CONTROL), None)
    if control is None or all(row.contrast is None for row in rows):
        return []
    problem, leading = control.problem, winners(rows)
    worse = [row for row in rows if row.verdict is Verdict.WORSE and row.way is Stage.RERUN]
    said = [f"{problem}: {_standing(leading, control)}", *_by_replay(rows, control, Verdict.BETTER)]
    if worse:
        said.append(f"{problem}: worse than {control.label}: {_names(worse)}.")
    said += _by_replay(rows, control, Verdict.WORSE)
    return [
        *said, *_told_apart(problem, pairs(rows)), *_unseen(rows, control), *_bounds(made, control), *_failed(rows),
        *_cheapest(problem, leading),
    ]


def _standing(leading: Sequence[Row], control: Row) -> str:
    spans = [_by(one) for one in leading]
    if not spans:
        at = score_said(control.test, control.accuracy)
        return f"no method was found to be better than the best control, {control.label}, at {at}."
    if len(spans) == 1:
        return f"{leading[0].label} alone beats {control.label}, the best control, by {spans[0]}."
    shared = once([_common(one) for one in leading])
    names = listed([f"{one.label} (by {span.removesuffix(shared)})" for one, span in zip(leading, spans, strict=True)])
    return f"{names} beat {control.label}, the best control{f' (each{shared})' if shared else ''}."


def _by_replay(rows: Sequence[Row], control: Row, verdict: Verdict) -> list[str]:
    """Of what was found, trained anew, where the verdict is not that of the search's own training."""
    searches = {row.method: row.verdict for row in rows if row.way is Stage.RERUN}
    alone = [
        row for row in rows
        if row.way is Stage.REPLAY and row.verdict is verdict and searches.get(row.method) is not verdict
    ]
    if not alone:
        return []
    names = listed([f"{row.label} (by {_by(row)})" for row in alone])
    return [f"{control.problem}: {verdict} than {control.label} as a replay, and not as a search: {names}."]


def _bounds(rows: Sequence[Row], control: Row) -> list[str]:
    """Where the rows stand that are told what others have to find."""
    told = [row for row in rows if row.bound and row.contrast is not None and row.way is Stage.RERUN]
    if not told:
        return []
    names = listed([f"{row.method} ({_against(row, control)})" for row in told])
    return [f"{control.problem}: told what to vary, and so {'a bound' if len(told) == 1 else 'bounds'}: {names}."]


def _against(row: Row, control: Row) -> str:
    if row.verdict is Verdict.EQUAL:
        return f"no difference from {control.label} found"
    return f"{row.verdict} than {control.label} by {_by(row)}"


def _unseen(rows: Sequence[Row], control: Row) -> list[str]:
    """Rows that were not found to differ from the control, and what difference could have been found."""
    equal = [row for row in rows if row.verdict is Verdict.EQUAL and row.way is Stage.RERUN]
    hopeless = [control.accuracy and row.contrast is not None and (row.contrast.detectable or 0) >= 1 for row in equal]
    some = [row for row, not_any in zip(equal, hopeless, strict=True) if not not_any]
    none = [row for row, not_any in zip(equal, hopeless, strict=True) if not_any]
    said = f"{control.problem}: no difference from {control.label} found:"
    found = [f"{said} {_names(some)}{_could_be_seen(some, control)}."] if some else []
    return found + ([f"{said} {_names(none)}; {TOO_FEW}."] if none else [])


def _failed(rows: Sequence[Row]) -> list[str]:
    """Rows whose study came to nothing, and what was spent on it."""
    gone = [row for row in rows if row.test is None and row.reason is not None and row.way is Stage.RERUN]
    if not gone:
        return []
    spent = [(row.label, row.multiples(row.total.flops)) for row in gone]
    names = listed([
        label if cost is None else f"{label} (which has cost {multiples_text(cost)} plain trainings)"
        for label, cost in spent
    ])
    return [f"{gone[0].problem}: failed, and so without a result: {names}."]


def _could_be_seen(equal: Sequence[Row], control: Row) -> str:
    least = [row.contrast.detectable for row in equal if row.contrast is not None and row.contrast.detectable]
    if not least:
        return ""
    low, high = _number(control, min(least)), _size(control, max(least))
    return (
        f"; only true differences of about {high if low == _number(control, max(least)) else f'{low} to {high}'} "
        f"would have been found in four of five such sweeps{_would_take(equal)}"
    )


def _would_take(equal: Sequence[Row]) -> str:
    """How many seeds the widest difference of them would take, were it true; nothing where there is none."""
    known = [(abs(row.contrast.test.difference.mean), row.contrast.needed, row) for row in equal if row.contrast]
    widest = max(known, key=lambda one: one[0], default=None)
    if widest is None or widest[1] is None:
        return ""
    size = _size(widest[2], widest[0])
    return f"; one as large as that of {widest[2].label} ({size}) would take about {widest[1]:,} seeds"


def _told_apart(problem: str, compared: Sequence[Pair]) -> list[str]:
    """Which of the leaders differ, that the others do not, and how many seeds it would take."""
    apart = [pair for pair in compared if pair.p_holm <= ALPHA]
    unclear = [pair for pair in compared if pair.p_holm > ALPHA]
    said = []
    for label in dict.fromkeys(_better(pair) for pair in apart):
        own = [pair for pair in apart if _better(pair) == label]
        shared = once([common_seeds(pair.a, pair.test) for pair in own])
        gaps = [
            f"{_other(pair)} (by {_size(pair.a, abs(pair.test.difference.mean))}"
            f"{'' if shared else common_seeds(pair.a, pair.test)}, {p_text(pair.p_holm)} after Holm)"
            for pair in own
        ]
        each = f"; each{shared}" if shared else ""
        said.append(f"{problem}: of these, {label} is better than {listed(gaps)}{each}.")
    if not unclear:
        return said
    seeds = min(pair.test.difference.count for pair in unclear)
    names = listed(list(dict.fromkeys(row.label for pair in unclear for row in (pair.a, pair.b))))
    first = f"no other pair of these is distinguishable at {seeds} seeds" if apart else (
        f"{names} are not distinguishable at {seeds} seeds"
    )
    widest = max(unclear, key=lambda pair: abs(pair.test.difference.mean))
    size = _size(widest.a, abs(widest.test.difference.mean))
    power = "" if widest.needed is None else (
        f"; a true difference as large as the one seen between {widest.a.label} and {widest.b.label} ({size}) would "
        f"take about {widest.needed:,} seeds"
    )
    return [*said, f"{problem}: {first}{power}."]


def _better(pair: Pair) -> str:
    return pair.a.label if pair.test.difference.mean > 0 else pair.b.label


def _other(pair: Pair) -> str:
    return pair.b.label if pair.test.difference.mean > 0 else pair.a.label


def _cheapest(problem: str, leading: Sequence[Row]) -> list[str]:
    """What one more task costs with the leader that is cheapest, beside the others."""
    paid = [row for row in leading if row.training is not None]
    if len(paid) < 2:
        return []
    costs = {row.label: task_flops(row) for row in paid}
    least = min(costs, key=lambda label: costs[label])
    rest = [
        f"1/{_times(costs[label] / costs[least])} of {label}" for label in costs
        if costs[least] > 0 and costs[label] >= CHEAPER * costs[least]
    ]
    if not rest:
        return []
    return [f"{problem}: for one more task (tuning and one training), {least} costs {listed(rest)}."]


def _times(ratio: float) -> str:
    """Two digits, and never a power of ten: "1.5", "23", "110"."""
    rounded = float(f"{ratio:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:.2g}"


def _by(row: Row) -> str:
    """By how much a row differs from the control, whichever is better: "6.1 +- 1.9 points"; the pair's own interval."""
    assert row.contrast is not None  # what has such a verdict was compared
    gap = row.contrast.test.difference
    assert gap.low is not None and gap.high is not None  # a verdict takes two seeds
    by = f"{_number(row, abs(gap.mean))} +- {_size(row, (gap.high - gap.low) / 2)}"
    return f"{by}{common_seeds(row, row.contrast.test)}"


def _names(rows: Sequence[Row]) -> str:
    """With the seeds that the verdicts are over, where these are not all; once for all rows that have as many."""
    alike: dict[str, list[str]] = {}
    for row in rows:
        alike.setdefault(_common(row).strip(), []).append(row.label)
    groups = [
        listed(names) + (f" ({'each ' if len(names) > 1 else ''}{common})" if common else "")
        for common, names in sorted(alike.items())
    ]
    return groups[0] if len(groups) == 1 else f"{'; '.join(groups[:-1])}; and {groups[-1]}"


def _common(row: Row) -> str:
    return "" if row.contrast is None else common_seeds(row, row.contrast.test)


def _size(row: Row, value: float) -> str:
    return f"{_number(row, value)} points" if row.accuracy else _number(row, value)


def _number(row: Row, value: float) -> str:
    return f"{100 * value:.1f}" if row.accuracy else f"{value:.3g}"
