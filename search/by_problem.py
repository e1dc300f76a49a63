"""The big table: one line per method, one column per problem."""

from __future__ import annotations

from collections.abc import Sequence

from search.exhibit_tables import Table
from search.overview import overall
from search.row import Row, Verdict
from search.sentences import half_width_text, multiples_text
from tracking.record import Stage

MARKS = {Verdict.CONTROL: "●", Verdict.BETTER: "▲", Verdict.WORSE: "▼"}  # told by shape, not by colour
LEGEND = (
    "Test score (accuracies in percent) with half of its 95 % interval over seeds; ● the best control of a problem, "
    "▲ better than it, ▼ worse, no sign: no difference found, or too few seeds to say. Costs are means over the "
    "problems on which a method has a score (without any, on which it spent something), in plain trainings; everything "
    "is with tuning and with pre-training, which is charged in full on every problem though problems of one source "
    "share it."
)


def by_problem(rows: Sequence[Row]) -> Table | None:
    """Methods by mean rank, those without one last; None where there is a single problem."""
    reruns = [row for row in rows if row.way is Stage.RERUN]
    problems = list(dict.fromkeys(row.problem for row in reruns))
    lines = []
    for one in overall(rows):
        own = {row.problem: row for row in reruns if row.method == one.method}
        trained = [
            cost for row in own.values() if row.test is not None and row.training is not None
            and (cost := row.multiples(row.training.flops)) is not None
        ]
        lines.append([
            one.label, *(_cell(own.get(problem)) for problem in problems),
            multiples_text(sum(trained) / len(trained) if trained else None), multiples_text(one.cost),
        ])
    return Table(["method", *problems, "one training", "everything"], lines) if lines else None


def _cell(row: Row | None) -> str:
    if row is None or row.test is None:
        return "failed" if row is not None and row.reason else "-"
    shown, mark = half_width_text(row.test, row.accuracy), MARKS.get(row.verdict)
    return shown if mark is None else f"{shown} {mark}"
