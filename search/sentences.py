"""What the numbers say, in words; every sentence is made from them."""

from __future__ import annotations

from collections.abc import Sequence

from search.account import why
from search.pretraining_sentences import pretraining_sentences
from search.row import Contrast, Effect, Invariance, Row, Verdict
from search.statistics import Estimate, Paired
from tracking.record import Status

_OUTCOMES = {
    Status.COMPLETE: "complete", Status.PRUNED: "stopped early", Status.BUDGET: "cut by the budget",
    Status.FAILED: "failed", Status.RUNNING: "running",
}


TOO_FEW = "with these seeds and this noise no difference between accuracies would have been found"


def score_text(estimate: Estimate | None, accuracy: bool) -> str:
    """"91.2 [88.0, 94.4]" in percent for accuracies, "0.912 [...]" for other scores."""
    if estimate is None:
        return "-"
    shown = _number(estimate.mean, accuracy)
    if estimate.low is None or estimate.high is None:
        return f"{shown} (one seed)"
    return f"{shown} [{_number(estimate.low, accuracy)}, {_number(estimate.high, accuracy)}]"


def score_said(estimate: Estimate | None, accuracy: bool) -> str:
    """The same within a sentence, with its unit: "91.2 [88.0, 94.4] %", "91.2 % (one seed)"."""
    shown, note, rest = score_text(estimate, accuracy).partition(" (")
    return f"{shown} %{note}{rest}" if accuracy and estimate is not None else f"{shown}{note}{rest}"


def score_head(rows: Sequence[Row]) -> str:
    """What a column of test scores holds."""
    return "test accuracy, % [95 %]" if rows and rows[0].accuracy else "test score [95 %]"


def select_text(value: float, accuracy: bool) -> str:
    """One score with its unit: "91.2 %" of accuracies, "0.912" of others."""
    return f"{_number(value, accuracy)} %" if accuracy else _number(value, accuracy)


def half_width_text(estimate: Estimate, accuracy: bool) -> str:
    """"91.2 ± 3.2" in percent for accuracies, "0.912 ± 0.032" for other scores; the mean alone of one seed."""
    shown = _number(estimate.mean, accuracy)
    return shown if estimate.high is None else f"{shown} ± {_number(estimate.high - estimate.mean, accuracy)}"


def verdict_text(row: Row) -> str:
    """The verdict with the difference, for a cell; over how many seeds, where the means beside it are over more."""
    contrast = row.contrast
    if row.test is None:
        return "failed" if row.reason else "no result" if row.failures else "no seed yet"
    if contrast is None or row.verdict in (Verdict.CONTROL, Verdict.UNKNOWN, Verdict.ALONE):
        return str(row.verdict)
    gap = contrast.test.difference
    common = f" on {gap.count} common seeds" if common_seeds(row, contrast.test) else ""
    return f"{row.verdict} ({_gap_number(gap.mean, row.accuracy, True)}{common})"


def multiples_text(multiples: float | None) -> str:
    """"12.1" plain trainings; "-" where no plain training was measured."""
    return "-" if multiples is None else f"{multiples:.2f}" if multiples < 10 else f"{multiples:.1f}"


def trials_text(row: Row) -> str:
    """"9 trials: 5 complete, 3 stopped early, 1 failed"."""
    counted = [f"{row.tune.outcomes[s]} {word}" for s, word in _OUTCOMES.items() if row.tune.outcomes.get(s)]
    word = "trial" if row.tune.trials == 1 else "trials"
    return f"{row.tune.trials} {word}" + (f": {', '.join(counted)}" if counted else "")


def truth_text(found: Invariance) -> str:
    """"rotation, planted: helps up to 60 deg"."""
    if found.half_width is None:
        return f"{found.action}: nothing planted"
    reach = f"{found.half_width:g} {found.unit}".strip()
    return f"{found.action}: {found.effect} {'up to' if found.effect is Effect.HELPS else 'from'} {reach}"


def p_text(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def conclusions(made: Sequence[Row]) -> list[str]:
    """The sentences on one problem: the best control, every other row against it, the sum of it, and what pays."""
    spreads = [said for row in made if (said := spread_line(row))]
    controlled = any(row.control and row.test is not None for row in made)
    each = [conclusion(row, controlled) for row in made]
    return each + _overall(made) + spreads + pretraining_sentences(made)


def conclusion(row: Row, controlled: bool = True) -> str:
    """One row against the best control of its problem.

    Args:
        controlled: whether there is a control with a result.
    """
    name = f"{row.problem}: {row.label}"
    if row.verdict is Verdict.CONTROL:
        return f"{name} is the best control, at {score_said(row.test, row.accuracy)}."
    if row.contrast is None:
        return f"{name}: {_why_unknown(row, controlled)}."
    contrast, accuracy = row.contrast, row.accuracy
    test = contrast.test
    chosen = " and the choice of the control" if contrast.factor > 1 else ""
    p = f"{p_text(contrast.p_holm)} after Holm{chosen}"
    common = common_seeds(row, test)
    if row.verdict is Verdict.EQUAL:
        at = common or f" at {test.difference.count} seeds"
        found = f"{name} and {contrast.reference}: no difference found{at}"
        if test.by_sign and test.p == 1:
            return f"{found} (the scores are the same on every seed)."
        gap = gap_text(test.difference, accuracy, signed=True)
        return f"{found} ({gap}, {p}{_note(test)}){_power(contrast, accuracy)}."
    away = test.difference if row.verdict is Verdict.BETTER else _negative(test.difference)
    size, control = gap_text(away, accuracy, signed=False), contrast.reference
    return f"{name} is {row.verdict} than the best control ({control}) by {size}{common}, {p}{_note(test)}."


def common_seeds(row: Row, test: Paired) -> str:
    """" on the 3 seeds that both have", where some of those planned failed or are still to come; else empty."""
    pairs = test.difference.count
    return f" on the {pairs} seeds that both have" if pairs < row.planned_seeds else ""


def once(notes: Sequence[str]) -> str:
    """What several items of a list would all say, to be said once after it; else empty."""
    return notes[0] if len(notes) > 1 and len(set(notes)) == 1 else ""


def spread_line(row: Row) -> str:
    """Where a replay's noise comes from; empty where what was found was trained once."""
    if row.spread is None:
        return ""
    total = row.spread.between + row.spread.within
    name = f"{row.problem}: {row.label}"
    if total <= 0:
        return f"{name}: no spread at all, neither between searches nor between trainings."
    return (
        f"{name}: {100 * row.spread.between / total:.0f} % of the variance of one training's score comes from what the "
        f"search found (sd {_number(row.spread.between ** 0.5, row.accuracy)}), the rest from training "
        f"(sd {_number(row.spread.within ** 0.5, row.accuracy)})."
    )


def study_line(row: Row) -> str:
    """How many trials and how many plain trainings a study got."""
    multiples = row.tune.multiples
    said = "no plain training was measured" if multiples is None else (
        f"tuning spent {multiples_text(multiples)} plain trainings"
    )
    return f"{row.problem}, {row.method}: {trials_text(row)}; {said}."


def front_line(row: Row) -> str:
    """What more score cost in the tuning, where both were objectives; empty where not."""
    if not row.tune.front:
        return ""
    points = [
        f"{select_text(trial.score or 0.0, row.accuracy)} at {multiples_text(row.multiples(trial.flops))}"
        for trial in row.tune.front
    ]
    return (
        f"{row.problem}, {row.method}: Pareto front of the tuning, select score at the cost of one training in plain "
        f"trainings: {', '.join(points)}; the last one was chosen."
    )


def _overall(made: Sequence[Row]) -> list[str]:
    compared = [row for row in made if row.contrast is not None and not row.control and not row.bound]
    if not compared or any(row.verdict is Verdict.BETTER for row in compared):
        return []
    return [f"{made[0].problem}: no method was found to be better than the best control."]


def _why_unknown(row: Row, controlled: bool) -> str:
    if row.reason:
        return f"the study failed: {why(row.reason)}"
    if row.test is None:
        return "no seed has ended yet" if not row.failures else f"no result; {row.failures[-1].why}"
    seeds = "1 seed" if row.test.count == 1 else f"{row.test.count} seeds"
    shown = score_said(row.test, row.accuracy)
    short = f"{seeds}, and it takes two in common with a control" if controlled else "no control has a result"
    return f"{shown}; not compared: {short}"


def gap_text(found: Estimate, accuracy: bool, *, signed: bool) -> str:
    """"3.1 points [0.4, 5.8]"; the interval is this pair's own."""
    low, high = (found.mean if end is None else end for end in (found.low, found.high))
    mean, low_text, high_text = (_gap_number(value, accuracy, signed) for value in (found.mean, low, high))
    return f"{mean}{' points' if accuracy else ''} [{low_text}, {high_text}]"


def _gap_number(value: float, accuracy: bool, signed: bool) -> str:
    text = f"{100 * value:+.1f}" if accuracy else f"{value:+.3g}"
    if float(text) == 0:
        return text[1:]  # neither +0.0 nor -0.0
    return text if signed else text.removeprefix("+")


def _negative(found: Estimate) -> Estimate:
    low, high = (None if end is None else -end for end in (found.high, found.low))
    return Estimate(-found.mean, low, high, found.count)


def _note(test: Paired) -> str:
    return ", by the sign-flip test since all seeds differ alike" if test.by_sign else ""


def _power(contrast: Contrast, accuracy: bool) -> str:
    if contrast.detectable is None:
        return ""
    if accuracy and contrast.detectable >= 1:
        return f"; {TOO_FEW}"
    needed = "" if contrast.needed is None else f" (one as large as this would take about {contrast.needed:,} seeds)"
    least = f"{100 * contrast.detectable:.1f} points" if accuracy else f"{contrast.detectable:.3g}"
    return f"; only a true difference of about {least} would have been found in four of five such sweeps{needed}"


def _number(value: float, accuracy: bool) -> str:
    return f"{100 * value:.1f}" if accuracy else f"{value:.3f}"
