"""The report as one HTML file that needs nothing else: no network, no script, figures inside."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from search import figures
from search.account import Trial, trials, waste
from search.made import all_made
from search.plan import missing, plan
from search.pretraining_sentences import made_line
from search.row import Averaging, Row
from search.sentences import (
    conclusions,
    front_line,
    multiples_text,
    score_text,
    study_line,
    trials_text,
    truth_text,
    verdict_text,
)
from tracking.journal import Event
from tracking.record import Stage


@dataclass(frozen=True, slots=True)
class Section:
    """What the page shows of one problem."""

    problem: str
    rows: tuple[Row, ...]
    sentences: list[str]
    figure: str  # data URI
    caption: str

    @property
    def pretrained(self) -> bool:
        """Whether a row uses what was trained before."""
        return any(row.pretraining.flops for row in self.rows)

    @property
    def measured(self) -> list[tuple[str, list[str]]]:
        """Action with its truth -> one cell per row."""
        actions = {found.action: found for row in self.rows for found in row.invariances}
        return [
            (truth_text(found), [_measured(row, name) for row in self.rows])
            for name, found in actions.items()
        ]


@dataclass(frozen=True, slots=True)
class Study:
    """What the page shows of one study's decisions."""

    row: Row
    tuned: list[Trial]

    @property
    def chosen(self) -> str:
        best = self.row.tune.best
        return "" if best is None else json.dumps(dict(best.config), sort_keys=True)


def page(rows: Sequence[Row], events: Sequence[Event]) -> str:
    """Render the template; everything that comes from a user is escaped."""
    planned, known = plan(events), list(trials(events).values())
    environment = Environment(
        loader=PackageLoader("search"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )
    environment.filters |= {
        "multiples": multiples_text, "amount": amount, "trials": trials_text, "verdict": verdict_text,
    }
    return environment.get_template("report.html").render(
        plan=planned, notices=missing(events), sections=[_section(rows, p) for p in planned.problems],
        studies=[
            Study(row, [t for t in known if t.stage is Stage.TUNE and _study(t) == (row.problem, row.method)])
            for row in rows if row.way is Stage.RERUN
        ],
        study_line=study_line, front_line=front_line, score_text=score_text, Averaging=Averaging, wasted=waste(events),
        failures=[trial for trial in known if trial.reason], provenance=_flat(planned.provenance),
        comparison=json.dumps(planned.comparison, indent=2), unit_trials=_units(known),
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


def _section(rows: Sequence[Row], problem: str) -> Section:
    here = tuple(row for row in rows if row.problem == problem)
    image = b64encode(figures.svg(figures.picture(rows, problem))).decode()
    source = f"data:image/svg+xml;base64,{image}"
    return Section(problem, here, conclusions(here), source, figures.describe(here))


def _measured(row: Row, action: str) -> str:
    found = next((one for one in row.invariances if one.action == action), None)
    if found is None or not found.measured:
        return "-"
    return ", ".join(f"{quantity} {value:.3f}" for quantity, value in found.measured.items())


def _study(trial: Trial) -> tuple[str, str]:
    return trial.problem, trial.method


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
