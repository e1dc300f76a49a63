"""A sweep's report in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from search import overview, winners
from search.account import waste
from search.gains import gains
from search.gains import sentences as gain_sentences
from search.made import all_made
from search.notices import notices
from search.plan import plan
from search.pretraining_sentences import made_line, pretraining_sentences
from search.row import Effect, Invariance, Row
from search.sentences import (
    conclusions,
    front_line,
    multiples_text,
    score_text,
    truth_text,
    verdict_text,
)
from search.warned import warned
from tracking.journal import Event
from tracking.record import Stage

LONGEST_NAME = 16  # of a method's words that are never broken: the longest of the house


def terminal(rows: Sequence[Row], events: Sequence[Event]) -> list[RenderableType]:
    """What is missing, then per problem a table and its sentences; fits in 110 columns."""
    told = (*notices(rows, events), *warned(events))
    shown: list[RenderableType] = [Text(line, style="bold yellow") for line in told]
    shown += [Text(made_line(found)) for found in all_made(events).values()]
    random_controls = plan(events).random_controls
    for problem in dict.fromkeys(row.problem for row in rows):
        here = [row for row in rows if row.problem == problem]
        leading = winners.summary(here) + gain_sentences(gains(here, random_controls))
        # Every row's own test is in the report; here it stands where there is nothing shorter to say.
        said = [*leading, *pretraining_sentences(here)] if leading else conclusions(here)
        shown += [_table(problem, here), *(Text(line) for line in said)]
        shown += [Text(line) for row in here if row.way is Stage.RERUN and (line := front_line(row))]
    shown += [Text(line) for line in overview.sentences(overview.overall(rows))]
    wasted = waste(events)
    if wasted.flops:
        shown.append(Text(f"Repeated after crashes, in no figure above: {wasted.flops:.3g} FLOPs."))
    return shown


def _table(problem: str, rows: Sequence[Row]) -> Table:
    table = Table(title=Text(problem, style="bold"), title_justify="left", pad_edge=False, box=SIMPLE_HEAD)
    accuracy = any(row.accuracy for row in rows)
    longest = max(len(word) for row in rows for word in row.label.split())
    table.add_column("method", overflow="fold", min_width=min(longest, LONGEST_NAME))
    table.add_column(f"{'accuracy, %' if accuracy else 'score'}\n[95 %]", justify="right", no_wrap=True)
    table.add_column("against the\nbest control", min_width=13, max_width=20)
    before = any(row.pretraining.flops for row in rows)
    for name in ("trials", *(("pre-\ntraining*",) if before else ()), "tuning*", "one\ntraining*", "every-\nthing*"):
        table.add_column(name, justify="right")
    planted = [found for found in rows[0].invariances if found.effect is not Effect.UNKNOWN]
    for found in planted:
        table.add_column(Text(_heading(found)), justify="right", max_width=12)
    for row in rows:
        table.add_row(*map(Text, _cells(row, [found.action for found in planted], before)))
    table.caption = "* in plain trainings of this problem"
    table.caption_justify = "left"
    return table


def _heading(found: Invariance) -> str:
    quantity = "agreement" if "agreement" in found.measured or not found.measured else "change"
    return f"{quantity},\n{truth_text(found)}"


def _cells(row: Row, actions: Sequence[str], before: bool) -> list[str]:
    one = None if row.training is None else row.multiples(row.training.flops)
    measured = {found.action: found.measured for found in row.invariances}
    return [
        row.label, score_text(row.test, row.accuracy), verdict_text(row),
        str(row.tune.trials), *([multiples_text(row.multiples(row.pretraining.flops))] if before else []),
        multiples_text(row.tune.multiples),
        multiples_text(one), multiples_text(row.multiples(row.total.flops)),
        *(_agreement(measured.get(action, {})) for action in actions),
    ]


def _agreement(measured: Mapping[str, float]) -> str:
    value = measured.get("agreement", measured.get("change"))
    return "-" if value is None else f"{value:.3f}"
