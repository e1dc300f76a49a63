"""Rows of sweeps on long tails, each beside delayed resampling of its own sweep; what two sweeps hold counts once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from search.analysis import rows
from search.method_spec import MethodSpec
from search.plan import Plan, plan
from search.row import Row
from search.sound import sound
from search.study import Comparison
from search.sweep import Sweep
from tracking.errors import UserError
from tracking.record import Stage
from tracking.storage import Place
from trainables.problems.spec import ProblemSpec

REFERENCE = "drs"
PROTOCOL = ("network", "horizon", "seed", "class_images", "class_draws")  # what makes figures of two sweeps comparable
SETTINGS = ("name", "settings", "network")  # of a row


@dataclass(frozen=True, slots=True)
class Kept:
    """A row as a sweep has it.

    Args:
        reference: delayed resampling on the same problem in the same sweep; None where it is missing, and beside
            itself.
        place: of the sweep.
    """

    row: Row
    reference: Row | None
    place: str


def gathered(places: Sequence[str]) -> list[Kept]:
    """One of each problem and row, in the order of the sweeps.

    Raises:
        UserError: one of the places has no sweep or a damaged one; or one name stands for different things in two of
            them.
    """
    events = {place: sound(Sweep(Place.of(place)).required()) for place in dict.fromkeys(places)}
    _check_names({place: plan(told) for place, told in events.items()})
    return merged(kept for place, told in events.items() for kept in paired(rows(told), place))


def paired(lines: Sequence[Row], place: str) -> list[Kept]:
    """The rows of one sweep that train again on every seed, each with its reference."""
    again = [line for line in lines if line.way is Stage.RERUN]
    references = {line.problem: line for line in again if line.method == REFERENCE}
    return [
        Kept(line, None if line.method == REFERENCE else references.get(line.problem), place) for line in again
    ]


def merged(found: Iterable[Kept]) -> list[Kept]:
    """One of each problem and row: a repetition is no further order, and would only make intervals narrower.

    A study that gave up has no figures, and leaves its place to one that has.

    Raises:
        UserError: two sweeps have different figures of the same.
    """
    best: dict[tuple[str, str], Kept] = {}
    for one in found:
        study = (one.row.problem, one.row.method)
        other = best.setdefault(study, one)
        if other is one or one.row.test is None:
            continue
        if other.row.test is not None:
            _check_equal(other, one)
        if other.row.test is None or other.reference is None:
            best[study] = one
    return list(best.values())


def family(problem: str) -> str:
    """A problem's label without its order."""
    return re.sub(r"-\d+$", "", problem)


def _check_equal(first: Kept, second: Kept) -> None:
    own, other = _figures(first.row), _figures(second.row)
    odd = [name for name in own if own[name] != other[name]]
    if odd:
        raise UserError(
            "a row that two sweeps have must have the same figures in both: it counts once",
            f"`{first.row.method}` on `{first.row.problem}` differs in {', '.join(odd)}: {first.place}, {second.place}",
            "give sweeps of one budget and one version, or a table each",
        )


def _figures(row: Row) -> dict[str, str]:
    """As text: no number equals itself where it is none."""
    return {
        "scores": json.dumps(row.scores, sort_keys=True),
        "figures by class": json.dumps(row.classes, sort_keys=True),
        "cost": json.dumps(row.multiples(row.total.flops)),
    }


def _check_names(plans: Mapping[str, Plan]) -> None:
    """Raises UserError where a label of a problem or row is not the same thing in all sweeps."""
    known: dict[str, tuple[Mapping[str, Any], str]] = {}
    for place, planned in plans.items():
        for name, facts in _named(planned.comparison):
            first, where = known.setdefault(name, (facts, place))
            odd = sorted(key for key in {*first, *facts} if first.get(key) != facts.get(key))
            if odd and where != place:  # within one sweep labels are its user's own affair
                raise UserError(
                    "one name must stand for the same in all sweeps of a table",
                    f"{name} differs in {', '.join(odd)}: {where}, {place}", "make a table of each",
                )


def _named(comparison: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What is to be the same wherever it has this name: problems, and what is averaged over their orders."""
    for problem in map(_content, comparison.get("problems", ())):
        kin, wrappers = family(problem["label"]), problem.get("wrappers", ())
        plain = [{name: value for name, value in one.items() if name != "order"} for one in wrappers]
        yield f"problem `{problem['label']}`", problem
        yield f"the problem of `{kin}`, whatever its order,", {**problem, "label": kin, "wrappers": plain}
        yield f"order {[one.get('order') for one in wrappers]} of `{kin}`", {"label": problem["label"]}
        yield f"the training of `{kin}`", _filled(Comparison, comparison, PROTOCOL)
        for method in comparison.get("methods", ()):
            label = method.get("label") or method["name"]
            yield f"row `{label}` of `{kin}`", _filled(MethodSpec, method, SETTINGS)


def _content(problem: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a problem is, wherever its data lie, with what was left to defaults or is of a later version filled in.

    As it was told where this version does not know it: its parts may be in files of the sweep's user.
    """
    try:
        spec = ProblemSpec.model_validate(problem)
    except ValueError:
        return problem
    places = spec.parts()[0].places
    source = {name: value for name, value in spec.source.items() if name not in places}
    return {**spec.model_dump(mode="json"), "source": source}


def _filled(model: type[BaseModel], told: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Some fields of what is told of a model; an earlier version had those by default that it does not tell."""
    defaults = {name: model.model_fields[name].get_default(call_default_factory=True) for name in names}
    return {name: told.get(name, default) for name, default in defaults.items()}
