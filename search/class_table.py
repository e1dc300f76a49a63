"""What each class has of accuracy and invariance, beside how many examples it has: lines and tables over seeds."""

from __future__ import annotations

from collections.abc import Sequence

from search.exhibit_tables import Table
from search.row import Row
from search.statistics import Estimate, estimate, paired
from search.tables import Record
from search.verdicts import best_control
from tracking.record import Stage

MEASURES = ("accuracy", "ekld", "ekld_scaled", "js", "consistency")
OF = "of_"
TAILED = {
    "accuracy/mean": "accuracy, mean over classes", "accuracy/head": "head accuracy", "accuracy/tail": "tail accuracy",
    "ekld/head": "head eKLD", "ekld/tail": "tail eKLD", "ekld_scaled/tail": "tail eKLD at fitted temperature",
    "ekld/slope": "slope of log eKLD on log n", "ekld_scaled/slope": "this slope at fitted temperature",
    "consistency/tail": "tail consistency",
}
EVEN = {  # there is no head, no tail and no slope; which classes would be called so is a matter of their order
    "accuracy/mean": "accuracy, mean over classes", "ekld/mean": "eKLD, mean over classes",
    "ekld_scaled/mean": "this mean at fitted temperature", "consistency/mean": "consistency, mean over classes",
}
COMPARED = {True: ("accuracy/tail", "ekld/tail"), False: ("accuracy/mean", "ekld/mean")}  # by seed; whether tailed


def drawn(rows: Sequence[Row]) -> list[Row]:
    """Searches whose classes were measured."""
    return [row for row in rows if row.way is Stage.RERUN and any(name.startswith("ekld/") for name in row.classes)]


def mean_of(row: Row, name: str) -> Estimate | None:
    """Over seeds; None where the row has no such number."""
    return estimate(list(row.classes.get(name, {}).values()))


def classes_of(row: Row) -> list[int]:
    """Labels whose size is known."""
    prefix = f"size/{OF}"
    return sorted(int(name.removeprefix(prefix)) for name in row.classes if name.startswith(prefix))


def tailed(rows: Sequence[Row]) -> bool:
    """Whether the largest class has twice as many examples as the smallest, or more."""
    sizes = [value for row in rows for name, by in row.classes.items() if name.startswith("size/")
             for value in by.values()]
    return bool(sizes) and max(sizes) >= 2 * min(sizes)


def class_records(rows: Sequence[Row]) -> list[Record]:
    """One line per row and class: its name where that is known, size, and mean and interval of each measure."""
    lines: list[Record] = []
    for row in drawn(rows):
        for label in classes_of(row):
            size = mean_of(row, f"size/{OF}{label}")
            line: Record = {"problem": row.problem, "method": row.method, "class": label,
                            "name": dict(enumerate(row.class_names)).get(label),
                            "size": None if size is None else size.mean}
            for measure in MEASURES:
                found = mean_of(row, f"{measure}/{OF}{label}")
                line |= {f"{measure}_mean": None, f"{measure}_low95": None, f"{measure}_high95": None}
                if found is not None:
                    line |= {f"{measure}_mean": found.mean, f"{measure}_low95": found.low,
                             f"{measure}_high95": found.high}
            lines.append(line)
    return lines


def class_table(rows: Sequence[Row]) -> Table:
    """Head, tail and slope of every row, and the tail against the best control; means where classes are one size."""
    here, control = drawn(rows), best_control(rows)
    long = tailed(here)
    said, compared = TAILED if long else EVEN, COMPARED[long]
    names = [name for name in said if any(name in row.classes for row in here)]
    heads = ["method", *(f"{said[name]} [95 %]" for name in names)]
    if control is not None:
        heads += [f"{said[name]} minus {control.label} [95 %]" for name in compared]
    lines = []
    for row in here:
        line = [row.label, *(_text(mean_of(row, name), name) for name in names)]
        if control is not None:
            line += [_gap(difference(row, control, name), name) for name in compared]
        lines.append(line)
    return Table(heads, lines)


def difference(row: Row, other: Row, name: str) -> Estimate | None:
    """Row minus other over the seeds that both have; None for the same row, or fewer than two seeds."""
    own, others = row.classes.get(name, {}), other.classes.get(name, {})
    seeds = sorted(own.keys() & others.keys())
    if row is other or len(seeds) < 2:
        return None
    found = paired([own[seed] for seed in seeds], [others[seed] for seed in seeds])
    return None if found is None else found.difference


def _text(found: Estimate | None, name: str) -> str:
    """"91.2 [88.0, 94.4] %" for accuracies and consistencies, "0.31 [0.28, 0.35]" for the others."""
    return _said(found, name, "", " %")


def _gap(found: Estimate | None, name: str) -> str:
    """"+3.1 [+0.4, +5.8] points" for accuracies and consistencies, "-0.1 [-0.2, -0.05]" for the others."""
    return _said(found, name, "+", " points")


def _said(found: Estimate | None, name: str, sign: str, unit: str) -> str:
    if found is None:
        return "-"
    share = name.startswith(("accuracy", "consistency"))
    scale, style = (100.0, f"{sign}.1f") if share else (1.0, f"{sign}.3g")
    said = f"{scale * found.mean:{style}}"
    if found.low is not None and found.high is not None:
        said += f" [{scale * found.low:{style}}, {scale * found.high:{style}}]"
    return said + (unit if share else "")
