"""The report as one HTML file that needs nothing else: no network, no script, figures inside."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from search import gains, method_front, overview, winners
from search.account import Trial, trials, waste
from search.by_problem import LEGEND, by_problem
from search.exhibit_tables import Table
from search.exhibits import Exhibit, Exhibits
from search.made import all_made
from search.notices import notices
from search.pretraining_sentences import made_line
from search.row import Averaging, Row
from search.sentences import (
    conclusions,
    front_line,
    multiples_text,
    score_head,
    score_text,
    study_line,
    trials_text,
    verdict_text,
)
from search.strips import Strip
from search.summary import ONE_TUNING
from search.warned import warned
from tracking.journal import Event
from tracking.record import Stage

MOST_BYTES = 4_900_000  # of the page
MOST_COLUMNS = 6  # of a table on paper; with more it is printed as blocks, a cell below its head
LEFT_OUT = "left out to keep this file small; it is beside it, in figures/"


@dataclass(frozen=True, slots=True)
class Shown:
    """A figure as the page holds it.

    Args:
        source: data URI; empty where there was no room.
    """

    exhibit: Exhibit
    source: str


@dataclass(frozen=True, slots=True)
class Section:
    """What the page shows of one problem."""

    problem: str
    rows: tuple[Row, ...]
    leading: list[str]
    sentences: list[str]
    figures: list[Shown]
    strips: list[tuple[str, str]]  # title, data URI

    @property
    def pretrained(self) -> bool:
        """Whether a row uses what was trained before."""
        return any(row.pretraining.flops for row in self.rows)


@dataclass(frozen=True, slots=True)
class Study:
    """What the page shows of one study's decisions."""

    row: Row
    tuned: list[Trial]

    @property
    def chosen(self) -> str:
        best = self.row.tune.best
        return "" if best is None else json.dumps(dict(best.config), sort_keys=True)


@dataclass
class Room:
    """Characters of images that the page may still take."""

    left: int

    def image(self, exhibit: Exhibit) -> Shown:
        """As what is smaller of SVG and WebP; without a picture where there is no room."""
        svg, packed = exhibit.images.svg, exhibit.packed
        return Shown(exhibit, self.uri(svg, "svg+xml") if len(svg) <= len(packed) else self.uri(packed, "webp"))

    def uri(self, content: bytes, kind: str) -> str:
        found = f"data:image/{kind};base64,{b64encode(content).decode()}"
        if len(found) > self.left:
            return ""
        self.left -= len(found)
        return found


def page(
    rows: Sequence[Row], events: Sequence[Event], shown: Exhibits | None = None, strips: Sequence[Strip] = ()
) -> str:
    """Render the template; everything that comes from a user is escaped.

    The words come first: images take what they leave of five megabytes.

    Args:
        shown: the figures; made anew where not given.
        strips: example images under what was learned.
    """
    exhibits = shown or Exhibits(rows, events)
    words = _rendered(rows, events, exhibits, strips, Room(0))
    return _rendered(rows, events, exhibits, strips, Room(MOST_BYTES - len(words.encode())))


def _rendered(
    rows: Sequence[Row], events: Sequence[Event], exhibits: Exhibits, strips: Sequence[Strip], room: Room
) -> str:
    planned, known = exhibits.plan, list(trials(events).values())
    environment = Environment(
        loader=PackageLoader("search"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )
    environment.filters |= {
        "multiples": multiples_text, "amount": amount, "trials": trials_text, "verdict": verdict_text,
    }
    everything = overview.overall(rows)
    shown = _shown([exhibits.of(problem) for problem in planned.problems], room)
    return environment.get_template("report.html").render(
        plan=planned, notices=(*notices(rows, events), *warned(events)), overall=everything,
        overall_said=overview.sentences(everything),
        overall_table=overall_table(everything), by_problem=by_problem(rows), by_problem_legend=LEGEND,
        sections=[
            _section(rows, problem, figures, exhibits, strips, room)
            for problem, figures in zip(planned.problems, shown, strict=True)
        ],
        studies=[Study(row, exhibits.tuned(row)) for row in rows if row.way is Stage.RERUN],
        study_line=study_line, front_line=front_line, score_head=score_head, score_text=score_text,
        Averaging=Averaging, wasted=waste(events),
        failures=[trial for trial in known if trial.reason], provenance=_flat(planned.provenance),
        comparison=json.dumps(planned.comparison, indent=2), unit_trials=_units(known), left_out=LEFT_OUT,
        most_columns=MOST_COLUMNS, one_tuning=ONE_TUNING,
        pretrained=[made_line(found) for found in all_made(events).values()],
    )


def amount(value: float | None) -> str:
    """A number as a person reads it: "1.2 G", "340", "0.52"; "not available" for None."""
    if value is None:
        return "not available"
    for factor, prefix in ((1e15, " P"), (1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g}{prefix}"
    return f"{value:.3g}"


def overall_table(found: Sequence[overview.Overall]) -> Table:
    """One line per method over all problems."""
    return Table(
        ["method", "mean rank", "interquartile mean, % [95 %]", "better than the best control", "worse",
         "everything, plain trainings (mean)"],
        [
            [one.label, "-" if one.rank is None else f"{one.rank:.2f}", score_text(one.middle, accuracy=True),
             *(f"{count} of {one.problems}" if one.problems else "-" for count in (one.better, one.worse)),
             multiples_text(one.cost)]
            for one in found
        ],
    )


def _shown(exhibits: Sequence[Sequence[Exhibit]], room: Room) -> list[list[Shown]]:
    """The figures of each problem. Room goes by kind: the first of every problem before the second of any."""
    found: list[list[Shown]] = [[] for _ in exhibits]
    for place in range(max(map(len, exhibits), default=0)):
        for made, own in zip(exhibits, found, strict=True):
            own += [room.image(exhibit) for exhibit in made[place : place + 1]]
    return found


def _section(
    rows: Sequence[Row], problem: str, figures: list[Shown], exhibits: Exhibits, strips: Sequence[Strip], room: Room
) -> Section:
    here = tuple(row for row in rows if row.problem == problem)
    leading = [*winners.summary(here), *gains.sentences(exhibits.gains(here)), *method_front.sentences(here)]
    pictures = [
        (strip.title, uri) for strip in strips if strip.problem == problem and (uri := room.uri(strip.png, "png"))
    ]
    return Section(problem, here, leading, conclusions(here), figures, pictures)


def _units(known: Sequence[Trial]) -> list[Trial]:
    return [trial for trial in known if trial.stage is Stage.UNIT]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested mappings as dotted names."""
    found: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = "not known" if value is None else str(value)
    return found
