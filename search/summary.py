"""The report as Markdown: what a careful person would write, and the table it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from search import gains, method_front, overview, winners
from search.by_problem import LEGEND, by_problem
from search.exhibits import Exhibits
from search.notices import notices
from search.pretraining_sentences import pretraining_sentences
from search.row import Row
from search.sentences import conclusions, multiples_text, score_head, score_text, verdict_text
from search.warned import warned
from tracking.journal import Event

ONE_TUNING = (
    "Intervals and tests are over the confirm seeds of what one tuning of each method chose: they hold the luck of "
    "data and training, not that of the tuning."
)


def summary(rows: Sequence[Row], events: Sequence[Event], exhibits: Exhibits) -> str:
    """Notices first, then all problems together, then each with its table."""
    return "\n".join(_lines(rows, events, exhibits)) + "\n"


def _lines(rows: Sequence[Row], events: Sequence[Event], exhibits: Exhibits) -> Iterator[str]:
    yield f"# {_text(exhibits.plan.name or 'Comparison')}"
    yield ""
    for notice in (*notices(rows, events), *warned(events)):
        yield f"- **Read with care:** {_text(notice)}"
    yield from ("", ONE_TUNING, "")
    if overall := overview.sentences(overview.overall(rows)):
        yield "## Over all problems"
        yield ""
        yield from (f"- {_text(sentence)}" for sentence in overall)
        yield ""
    if (big := by_problem(rows)) is not None:
        yield from _lined(big.heads, big.lines)
        yield ""
        yield LEGEND
        yield ""
    for problem in exhibits.plan.problems:
        here = [row for row in rows if row.problem == problem]
        yield f"## {_text(problem)}"
        yield ""
        said = [*winners.summary(here), *gains.sentences(exhibits.gains(here))]
        said = [*said, *pretraining_sentences(here)] if said else conclusions(here)
        said = [*said, *method_front.sentences(here)]
        yield from (f"- {_text(sentence)}" for sentence in said)
        yield ""
        yield from _table(here)
        yield ""


def _table(rows: Sequence[Row]) -> Iterator[str]:
    heads = ["method", score_head(rows), "against the best control", "one training", "everything, in plain trainings"]
    return _lined(heads, [
        [
            row.label, score_text(row.test, row.accuracy), verdict_text(row),
            multiples_text(None if row.training is None else row.multiples(row.training.flops)),
            multiples_text(row.multiples(row.total.flops)),
        ]
        for row in rows
    ])


def _lined(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(map(_text, heads))} |"
    yield "|" + "---|" * len(heads)
    yield from (f"| {' | '.join(map(_text, line))} |" for line in lines)


def _text(words: str) -> str:
    """Without what Markdown would take for its own: a user's label is shown as it is."""
    for sign in "\\`*_[]<>|#$":
        words = words.replace(sign, f"\\{sign}")
    return " ".join(words.split())
