"""The figures of a report, each with its table, its caption and its words for those who do not see it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from search import class_table, curves, gains, ledger_parts, method_front
from search.account import Trial, trials
from search.anytime import expected_best
from search.break_even import break_even
from search.captions import (
    ACCURACY_COST,
    ANYTIME,
    BARS,
    BREAK_EVEN,
    CLASSES,
    EXPECTED,
    FRONT,
    LEARNED,
    LEDGER,
    RADAR,
    TAILED,
)
from search.curves import Anytime, Study, anytime, reached
from search.exhibit_tables import (
    Table,
    accuracy_table,
    anytime_table,
    break_even_table,
    expected_table,
    front_table,
    invariance_table,
    learned_table,
    ledger_table,
)
from search.figures import accuracy_cost, bars, class_sizes, learned, ledger, radar
from search.figures import break_even as break_even_figure
from search.figures import curves as curves_figure
from search.figures import expected as expected_figure
from search.figures import front as front_figure
from search.figures.style import png, svg, webp
from search.front import hypervolume
from search.plan import Plan, plan
from search.row import Row
from search.settings import SamplerName
from search.verdicts import best_control
from tracking.journal import Event
from tracking.record import Stage, Status

Records = list[dict[str, Any]]


class Images(NamedTuple):
    """A figure as files hold it, and how wide it is, in inches: its letters are of so many points."""

    svg: bytes
    png: bytes
    inches: float


@dataclass(frozen=True)
class Exhibit:
    """One figure of one problem.

    Args:
        name: kind and problem, fit for a file.
        draw: makes the figure anew.
        alt: the figure in words, the problem first.
        table: beside it on the page.
        records: everything that it shows, as flat lines.
    """

    name: str
    title: str
    draw: Callable[[], Figure]
    alt: str
    caption: str
    table: Table
    records: Records

    @cached_property
    def images(self) -> Images:
        """Drawn once."""
        figure = self.draw()
        return Images(svg(figure), png(figure), float(figure.get_figwidth()))

    @cached_property
    def packed(self) -> bytes:
        """The PNG as it is put into a page."""
        return webp(self.images.png)


class Exhibits:
    """Of a sweep; what all its figures need is worked out once.

    Args:
        rows: all rows of the report.
    """

    def __init__(self, rows: Sequence[Row], events: Sequence[Event]) -> None:
        self._rows, self._plan = rows, plan(events)
        self._curves = curves.curves(events)
        self._trials: dict[Study, list[Trial]] = {}
        for trial in trials(events).values():
            self._trials.setdefault((trial.problem, trial.method), []).append(trial)
        self._slugs = slugs(self._plan.problems)
        self._made: dict[str, list[Exhibit]] = {}

    @property
    def plan(self) -> Plan:
        return self._plan

    def of(self, problem: str) -> list[Exhibit]:
        """What there is to show of one problem; accuracy against cost comes first."""
        if problem not in self._made:
            made = self._exhibits(problem)
            self._made[problem] = [replace(exhibit, alt=f"{problem}. {exhibit.alt}") for exhibit in made]
        return self._made[problem]

    def _exhibits(self, problem: str) -> Iterator[Exhibit]:
        here = [row for row in self._rows if row.problem == problem]
        slug = self._slugs[problem]
        yield self._exhibit(
            "accuracy-cost", slug, "Accuracy against cost", partial(accuracy_cost.picture, self._rows, problem),
            accuracy_cost.describe(here), ACCURACY_COST, accuracy_table(here),
            method_front.records(here),
        )
        figures = self.anytime(here)
        if lines := curves.records(here, self._curves):
            yield self._exhibit(
                "anytime", slug, "What was reached by when",
                partial(curves_figure.picture, self._rows, self._curves, problem),
                curves_figure.describe(here, figures), ANYTIME, anytime_table(here, figures), lines,
            )
        if scores := self._independent(here):
            yield self._exhibit(
                "expected-best", slug, "What a shorter random search would have found",
                partial(expected_figure.picture, self._rows, scores, problem), expected_figure.describe(here, scores),
                EXPECTED, expected_table(here, scores), expected_records(here, scores),
            )
        ledgers = [self._ledger(row) for row in here]
        yield self._exhibit(
            "ledger", slug, "Where the cost went", partial(ledger.picture, here, ledgers),
            ledger.describe(here, ledgers), LEDGER, ledger_table(here, ledgers),
            [line for row, one in zip(here, ledgers, strict=True) for line in ledger_parts.records(row, one)],
        )
        if bars.measured(here):
            drawing = radar.picture if radar.drawable(here) else bars.picture
            yield self._exhibit(
                "invariance", slug, "Measured invariance beside the planted truth",
                partial(drawing, self._rows, problem), radar.describe(here), RADAR if radar.drawable(here) else BARS,
                invariance_table(here), _invariance_records(here),
            )
        if class_table.drawn(here):
            yield self._exhibit(
                "classes", slug, "Invariance and accuracy by class", partial(class_sizes.picture, self._rows, problem),
                class_sizes.describe(here), CLASSES + (TAILED if class_table.tailed(class_table.drawn(here)) else ""),
                class_table.class_table(here), class_table.class_records(here),
            )
        if any(row.learned for row in here):
            yield self._exhibit(
                "learned", slug, "What was learned", partial(learned.picture, self._rows, problem),
                learned.describe(here), LEARNED, learned_table(here), _learned_records(here),
            )
        if pays := break_even(here):
            yield self._exhibit(
                "break-even", slug, "When pre-training pays", partial(break_even_figure.picture, self._rows, problem),
                break_even_figure.describe(pays), BREAK_EVEN, break_even_table(pays, here),
                [one.to_json() for one in pays],
            )
        if fronts := [row for row in here if row.tune.front and row.way is Stage.RERUN]:
            yield self._exhibit(
                "front", slug, "Score against cost in the tuning",
                partial(front_figure.picture, self._rows, self._tuned(fronts), problem),
                front_figure.describe(fronts), FRONT, front_table(fronts),
                front_records(fronts, self._tuned(fronts)),
            )

    def anytime(self, here: Sequence[Row]) -> dict[str, Anytime]:
        """Of one problem's rows: area, and cost to what the best control reached."""
        control = best_control(here)
        own = None if control is None else self._curves.get((control.problem, control.method))
        return anytime(here, self._curves, self._plan.budget, None if own is None else reached(own))

    def gains(self, here: Sequence[Row]) -> list[gains.Gain]:
        """Of one problem's rows over the random control of their space."""
        return gains.gains(here, self._plan.random_controls)

    def tuned(self, row: Row) -> list[Trial]:
        """The row's trials of the tuning."""
        own = self._trials.get((row.problem, row.method), ())
        return [trial for trial in own if trial.stage is Stage.TUNE]

    def _independent(self, here: Sequence[Row]) -> dict[str, list[float]]:
        """method -> select scores of its whole trials, where these are independent draws of one distribution."""
        given = self._plan.comparison
        if given.get("sampler") != SamplerName.RANDOM or given.get("asha") is not None:
            return {}
        # The defaults are a study's first trial, and the user's own points follow: nobody drew these.
        given_points = {m.get("label") or m["name"]: len(m.get("points") or ()) for m in given.get("methods", ())}
        found = {
            row.method: [
                trial.score for trial in self.tuned(row)
                if trial.status is Status.COMPLETE and trial.score is not None and trial.generation is None
                and trial.index > given_points.get(row.method, 0)
            ]
            for row in here if row.way is Stage.RERUN
        }
        return {method: scores for method, scores in found.items() if len(scores) > 1}

    def _tuned(self, rows: Sequence[Row]) -> dict[str, list[Trial]]:
        return {row.method: self.tuned(row) for row in rows}

    def _ledger(self, row: Row) -> ledger_parts.Ledger:
        return ledger_parts.ledger(row, self._trials.get((row.problem, row.method), ()))

    @staticmethod
    def _exhibit(
        kind: str, slug: str, title: str, draw: Callable[[], Figure], alt: str, caption: str, table: Table,
        records: Records,
    ) -> Exhibit:
        return Exhibit(f"{kind}-{slug}", title, draw, alt, caption, table, records)


def slugs(labels: Sequence[str]) -> dict[str, str]:
    """label -> a name for files, each its own: letters, digits, dots and dashes, the place where two would be one."""
    found: dict[str, str] = {}
    for place, label in enumerate(labels, start=1):
        plain = slug = re.sub(r"[^A-Za-z0-9.-]+", "-", label).strip("-.")[:60]
        taken = {known.lower() for known in found.values()}
        while not slug or slug.lower() in taken:
            slug, place = f"{plain}-{place}", place + 1
        found[label] = slug
    return found


def front_records(rows: Sequence[Row], tuned: Mapping[str, Sequence[Trial]]) -> Records:
    """The points of every front, and the area that it beats up to the worst score and the dearest cost of any trial."""
    lines: Records = []
    whole = [trial for trials in tuned.values() for trial in trials if trial.score is not None]
    worst = min(trial.score or 0.0 for trial in whole), float(max(trial.flops for trial in whole))
    for row in rows:
        points = [(trial.score or 0.0, float(trial.flops)) for trial in row.tune.front]
        beaten = hypervolume(points, worst)
        lines += [
            {"problem": row.problem, "method": row.method, "trial": trial.uid, "select_score": score, "flops": cost,
             "plain_trainings": row.multiples(cost), "hypervolume": beaten}
            for trial, (score, cost) in zip(row.tune.front, points, strict=True)
        ]
    return lines


def expected_records(rows: Sequence[Row], scores: Mapping[str, Sequence[float]]) -> Records:
    """Every point of the curves."""
    return [
        {"problem": row.problem, "method": row.method, "trials": count,
         "expected_best_select_score": expected_best(values, count)}
        for row in rows if row.way is Stage.RERUN and (values := scores.get(row.method))
        for count in expected_figure.counted(len(values))
    ]


def _invariance_records(rows: Sequence[Row]) -> Records:
    return [
        {"problem": row.problem, "method": row.method, "way": str(row.way), "action": one.action, "unit": one.unit,
         "effect": str(one.effect), "planted": one.half_width, **one.measured}
        for row in rows for one in row.invariances if one.measured
    ]


def _learned_records(rows: Sequence[Row]) -> Records:
    return [
        {"problem": row.problem, "method": row.method, "way": str(row.way), "quantity": name, "mean": value}
        for row in rows for name, value in row.learned.items()
    ]
