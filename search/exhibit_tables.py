"""The short table beside each figure of the page; the files beside the report hold every point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search.account import Cost
from search.anytime import expected_best
from search.break_even import BreakEven
from search.curves import Anytime
from search.ledger_parts import SUMMED, Ledger, Part
from search.method_front import front
from search.row import Row
from search.sentences import multiples_text, score_head, score_text, select_text, truth_text
from tracking.record import Stage

BESIDE = {  # the sum
    Part.DISCARDED: "failed trials (counted in the parts), plain trainings",
    Part.SELECTION: "harness scoring (not in everything), plain trainings",
}


@dataclass(frozen=True, slots=True)
class Table:
    """Text only; the first cell of a line names it."""

    heads: list[str]
    lines: list[list[str]]


def anytime_table(rows: Sequence[Row], figures: Mapping[str, Anytime]) -> Table:
    """Area under each curve, and what it cost within a training to reach what the best control reached."""
    lines = []
    for row in rows:
        one = figures.get(row.method)
        if one is None or row.way is not Stage.RERUN:
            continue
        hit = one.to_target
        lines.append([
            row.label, "-" if one.area is None else select_text(one.area, row.accuracy),
            "-" if hit is None else f"{hit.hits} of {hit.runs}",
            *("-" if cost is None else multiples_text(row.multiples(cost)) for cost in (
                (hit.median, hit.expected) if hit else (None, None)
            )),
        ])
    return Table([
        "method", "best select score so far, mean over log cost", "seeds that reached the best control",
        "median cost of these, plain trainings", "expected running time, plain trainings",
    ], lines)


def expected_table(rows: Sequence[Row], scores: Mapping[str, Sequence[float]]) -> Table:
    """Expected best of n trials that were drawn independently: what a shorter random search would have found.

    Args:
        scores: method -> select scores of its whole trials.
    """
    most = max((len(values) for values in scores.values()), default=0)
    counts = [1 << k for k in range(most.bit_length()) if 1 << k <= most]
    return Table(
        ["method", *(f"expected best of {count}" for count in counts), "best of all", "trials"],
        [
            [row.label, *(
                select_text(expected_best(values, count), row.accuracy) if count <= len(values) else "-"
                for count in counts
            ), select_text(max(values), row.accuracy), str(len(values))]
            for row in rows if row.way is Stage.RERUN and (values := scores.get(row.method))
        ],
    )


def ledger_table(rows: Sequence[Row], ledgers: Sequence[Ledger]) -> Table:
    """Every part that cost something, and their sum; what is no part of it is told apart; then the energy of all."""
    some = {part for part in Part if any(one.parts[part].flops for one in ledgers)}
    parts = [part for part in SUMMED if part in some]
    beside = {part: head for part, head in BESIDE.items() if part in some}
    return Table(
        ["method", *(f"{part}, plain trainings" for part in parts), "everything, plain trainings", *beside.values(),
         "failed trials", "device energy", "host energy, estimate"],
        [
            [row.label, *(multiples_text(row.multiples(one.parts[part].flops)) for part in parts),
             multiples_text(row.multiples(row.total.flops)),
             *(multiples_text(row.multiples(one.parts[part].flops)) for part in beside),
             str(one.discarded_trials), _joules(row, row.total.device_energy_joules),
             _joules(row, row.total.host_energy_estimate_joules)]
            for row, one in zip(rows, ledgers, strict=True)
        ],
    )


def _joules(row: Row, value: float | None) -> str:
    """A counter's; never a guess where there was none, and no 0 where nothing has run that it could have counted."""
    if row.total == Cost():
        return "-"
    return "not available" if value is None else f"{value:,.0f} J"


def invariance_table(rows: Sequence[Row]) -> Table:
    """What was measured, action by action."""
    actions = {found.action: found for row in rows for found in row.invariances}
    return Table(
        ["action", *(row.label for row in rows)],
        [[truth_text(found), *(_measured(row, name) for row in rows)] for name, found in actions.items()],
    )


def learned_table(rows: Sequence[Row]) -> Table:
    """Means over seeds, quantity by quantity."""
    learners = [row for row in rows if row.learned]
    names = dict.fromkeys(name for row in learners for name in row.learned)
    return Table(
        ["quantity, mean over seeds", *(row.label for row in learners)],
        [[name, *(f"{row.learned[name]:.3g}" if name in row.learned else "-" for row in learners)] for name in names],
    )


def break_even_table(found: Sequence[BreakEven], rows: Sequence[Row]) -> Table:
    """From how many tasks on, with the interval over seeds."""
    unit = next((row.unit_flops for row in rows if row.unit_flops), None)

    def plain(flops: float) -> str:
        return multiples_text(flops / unit if unit else None)

    return Table(
        ["method", "against", "no dearer from tasks", "95 %", "a task, plain trainings", "the rival's",
         "pre-training, plain trainings"],
        [
            [one.method, one.rival, "never" if one.tasks is None else str(one.tasks), interval(one),
             plain(one.task_flops), plain(one.rival_task_flops), plain(one.pretraining_flops)]
            for one in found
        ],
    )


def interval(one: BreakEven) -> str:
    """"12 to 15", "12 to never"; "-" where one seed tells none, or where no end is a number."""
    if one.fewest is None:
        return "-"
    return f"{one.fewest} to {'never' if one.most is None else one.most}"


def front_table(rows: Sequence[Row]) -> Table:
    """The points of each front."""
    return Table(
        ["method", "select score", "one training, plain trainings"],
        [
            [row.label, select_text(trial.score or 0.0, row.accuracy), multiples_text(row.multiples(trial.flops))]
            for row in rows for trial in row.tune.front
        ],
    )


def accuracy_table(rows: Sequence[Row]) -> Table:
    """Test score and cost, and which rows no other beats in both."""
    on = front(rows)
    return Table(
        ["method", score_head(rows), "one training", "everything, plain trainings", "on the front"],
        [
            [row.label, score_text(row.test, row.accuracy),
             multiples_text(row.multiples(row.training.flops) if row.training else None),
             multiples_text(row.multiples(row.total.flops)), "yes" if any(row is one for one in on) else "no"]
            for row in rows
        ],
    )


def _measured(row: Row, action: str) -> str:
    found = next((one for one in row.invariances if one.action == action), None)
    if found is None or not found.measured:
        return "-"
    return ", ".join(f"{quantity} {value:.3f}" for quantity, value in found.measured.items())
