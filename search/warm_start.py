"""Observations of earlier sweeps that the samplers of a new one begin with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from search import sweep as sweeps
from search.drift import DRIVERS
from search.method_spec import MethodSpec
from search.part_names import installed_code
from search.study import Comparison
from search.wanted import wanted_of
from spaces.domain import Point, Value
from tracking.errors import UserError
from tracking.events import JournalError
from tracking.journal import Event
from tracking.record import Stage, Status
from tracking.storage import Place
from trainables import makers, methods
from trainables.evolving import EvolvingConfig
from trainables.modules import networks
from trainables.problems.part_code import own_code
from trainables.problems.spec import ProblemSpec

# What a score depends on beside problem and method. The seed draws the data: under another one, what an earlier
# sweep tuned on may be tested on here.
SHARED = ("horizon", "network", "seed")
USABLE = (Status.COMPLETE, Status.PRUNED, Status.BUDGET)


class Observation(BaseModel):
    """A trial of an earlier sweep.

    Args:
        source: "SWEEP: uid".
        point: values of the tunable fields.
        score: `val/score` of a trial that reached its horizon; None of one that was stopped.
        steps: (index, score) of the reports that could be judged.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    point: dict[str, Value]
    score: float | None
    flops: int
    steps: tuple[tuple[int, float], ...] = ()


Warm = dict[str, list[dict[str, Any]]]  # "PROBLEM/METHOD" -> observations, as JSON


def gather(comparison: Comparison, base: Place) -> Warm:
    """What the sweeps that `comparison.warm_start` names observed in the studies that this one repeats.

    Args:
        base: where sweeps are looked for by name.

    Raises:
        UserError: there is no such sweep, or none of its studies has the same problem, method and setting.
    """
    found: Warm = {}
    places = {sweeps.find(name, base).place.uri: name for name in comparison.warm_start}  # a sweep has many names
    for name in places.values():
        sweep = sweeps.find(name, base)
        try:
            events = sweep.events()
        except JournalError as error:
            raise UserError("a warm start needs an undamaged journal", error) from None
        here, differences = _matching(comparison, sweep.name, events)
        if not here:
            raise UserError(
                "a warm start needs a study with the same problem, method, fixed settings, horizon, network and seed, "
                "and a trial in it that ended in today's space",
                f"{name}: {'; '.join(differences)}", "leave it out of `warm_start`, or repeat its setting",
            )
        for key, observations in here.items():
            found.setdefault(key, []).extend(o.model_dump(mode="json") for o in observations)
    return found


def _matching(
    comparison: Comparison, name: str, events: Sequence[Event]
) -> tuple[dict[str, list[Observation]], list[str]]:
    """Per study of the new sweep what the old one observed, and why others did not match."""
    old: Mapping[str, Any] = events[0].get("comparison", {}) if events else {}
    if not old:
        return {}, ["its journal is empty"]
    differences = [
        f"{field} is {old.get(field)} there and {getattr(comparison, field)} here"
        for field in SHARED if old.get(field) != getattr(comparison, field)
    ]
    if differences:
        return {}, differences
    found: dict[str, list[Observation]] = {}
    same_steps = old.get("slices") == comparison.slices
    same_plugins = {p["digest"] for p in old.get("plugins", ())} == {p.digest for p in comparison.plugins}
    same_plugins &= _same_installed(comparison, events)
    for problem in comparison.problems:
        alike = [p["label"] for p in old["problems"] if _data(p) == _data(problem.model_dump(mode="json"))]
        theirs = [label for label in alike if _same_files(problem, label, events)]
        if not alike:
            differences.append(f"it has no problem like `{problem.label}`")
        elif not theirs:
            differences.append(f"the data of `{problem.label}` have changed since")
        for method in comparison.methods:
            if issubclass(method.config_class(), EvolvingConfig):
                differences.append(f"what is bred (`{method.key}`) begins with nothing")
                continue
            rows = [
                m["label"] or m["name"] for m in old["methods"]
                if _same_method(method, m) and (same_plugins or _of_the_house(method, problem, comparison))
            ]
            if theirs and not rows:
                differences.append(f"it has no `{method.key}` with the same fixed settings and the same code")
            made = [
                observation for label in theirs for row in rows
                for observation in _observed(name, events, label, row, method, same_steps)
            ]
            if made:
                found[f"{problem.label}/{method.key}"] = made
            elif theirs and rows:
                differences.append(f"no trial of {theirs[0]}/{rows[0]} ended in today's space of `{method.name}`")
    return found, list(dict.fromkeys(differences))


def _of_the_house(method: MethodSpec, problem: ProblemSpec, comparison: Comparison) -> bool:
    """Whether no code of the user's has a say in a score."""
    if method.name not in methods.names() or (method.network or comparison.network) not in networks.names():
        return False
    needed = method.config_class().model_validate(method.settings).needs(problem, comparison.seed).values()
    sources = [problem, *(artefact.source for artefact in needed)]
    parts = [part for spec in sources for source, wrappers in [spec.parts()] for part in (source, *wrappers)]
    return not own_code(parts) and all(artefact.maker in makers.names() for artefact in needed)


def _data(problem: Mapping[str, Any]) -> dict[str, Any]:
    """A problem without what it is called; of an earlier version, brought to today's form where that is possible."""
    with suppress(ValidationError, UserError, TypeError):
        problem = ProblemSpec(**problem).model_dump(mode="json")
    return {name: value for name, value in problem.items() if name != "label"}


def _same_installed(comparison: Comparison, events: Sequence[Event]) -> bool:
    """Whether all drivers of the old sweep had today's code of the installed plug-ins that this one uses."""
    now = installed_code(comparison, wanted_of(comparison))
    told = [(event.get("provenance") or {}).get("installed") or {} for event in events if event["kind"] in DRIVERS]
    return all(code.get(name) == digest for code in told for name, digest in now.items())


def _same_files(problem: ProblemSpec, label: str, events: Sequence[Event]) -> bool:
    """Whether all drivers of the old sweep that tell found the files of today: what several found is mixed."""
    told = [(event.get("data") or {}).get(label) for event in events if event["kind"] in DRIVERS]
    return set(told) <= {None, problem.fingerprint()}


def _same_method(method: MethodSpec, old: Mapping[str, Any]) -> bool:
    """The same method on the same network, with the same fields fixed to the same values."""
    same = (old["name"], old.get("network", "")) == (method.name, method.network)
    if not same or old.get("settings", {}).keys() != method.settings.keys():
        return False
    try:
        theirs = method.config_class().model_validate(old["settings"])
    except ValidationError:
        return False
    return theirs == method.config_class().model_validate(method.settings)


def _observed(
    name: str, events: Sequence[Event], problem: str, row: str, method: MethodSpec, same_steps: bool
) -> list[Observation]:
    """The ended tune trials of one study; of stopped ones only those with a score, at reports like ours."""
    space = method.space()
    asked = {
        e["uid"]: e for e in events
        if e["kind"] == "asked" and (e["problem"], e["method"], e["stage"]) == (problem, row, Stage.TUNE)
    }
    reports: dict[str, list[Event]] = {uid: [] for uid in asked}
    for event in events:
        if event["kind"] == "result" and event["uid"] in reports and event["status"] != Status.FAILED:
            reports[event["uid"]].append(event)
    found = []
    for event in events:
        if event["kind"] != "ended" or not reports.get(event["uid"]) or event["status"] not in USABLE:
            continue
        uid, own = event["uid"], reports[event["uid"]]
        point: Point = {field: asked[uid]["config"].get(field) for field in space.names}
        steps = tuple((e["index"], e["score"]) for e in own if e["ready"]) if same_steps else ()
        whole = event["status"] == Status.COMPLETE
        if space.contains(point) and (whole or steps):
            score = own[-1]["score"] if whole else None
            found.append(Observation(
                source=f"{name}: {uid}", point=point, score=score, flops=own[-1]["flops"], steps=steps
            ))
    return found
